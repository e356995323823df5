//! What the core waits for besides the guest: sockets, and the time by which a peer must have answered.
//!
//! One epoll descriptor stands for all of it, so that whoever drives the device (the vhost-user process, or a VMM's
//! own loop) watches just one.

use std::{
    collections::BTreeSet,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use super::table::Token;

/// Events taken in one go; the rest waits for the next.
const BATCH: usize = 64;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stream(Token),
    Route(u32),
    Dialler(u32),
    Timer,
}

impl Source {
    const STREAM: u64 = 0;
    const ROUTE: u64 = 1;
    const DIALLER: u64 = 2;
    const TIMER: u64 = 3;

    fn encode(self) -> u64 {
        match self {
            Self::Stream(token) => {
                (Self::STREAM << 56) | (u64::from(token.slot) << 32) | u64::from(token.generation)
            }
            Self::Route(index) => (Self::ROUTE << 56) | u64::from(index),
            Self::Dialler(index) => (Self::DIALLER << 56) | u64::from(index),
            Self::Timer => Self::TIMER << 56,
        }
    }

    fn decode(value: u64) -> Self {
        let low = value as u32;
        match value >> 56 {
            Self::STREAM => Self::Stream(Token { slot: (value >> 32) as u16, generation: low }),
            Self::ROUTE => Self::Route(low),
            Self::DIALLER => Self::Dialler(low),
            _ => Self::Timer,
        }
    }
}

#[derive(Debug)]
pub(super) struct Reactor {
    epoll: OwnedFd,
    timer: OwnedFd,
    deadlines: BTreeSet<(Instant, Token)>,
    armed_for: Option<Instant>,
}

impl Reactor {
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        // Edge triggered: setting the time again takes the edge back, so it is never read.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(Source::Timer.encode()), flags)?;
        Ok(Self { epoll, timer, deadlines: BTreeSet::new(), armed_for: None })
    }

    /// Watches a stream for everything, edge triggered: once, for its life.
    pub fn watch_stream(&self, token: Token, stream: impl AsFd) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        self.add(Source::Stream(token), stream, flags)
    }

    /// Watches a handoff socket for room (edge triggered).
    pub fn watch_route(&self, index: u32, socket: impl AsFd) -> io::Result<()> {
        self.add(Source::Route(index), socket, EventFlags::OUT | EventFlags::ET)
    }

    /// Watches a handoff socket for streams (level triggered: a burst may be taken in parts).
    pub fn watch_dialler(&self, index: u32, socket: impl AsFd) -> io::Result<()> {
        self.add(Source::Dialler(index), socket, EventFlags::IN)
    }

    /// What has happened, without waiting: each source once, with its flags.
    pub fn events(&self) -> io::Result<Vec<(Source, EventFlags)>> {
        let mut space = [MaybeUninit::uninit(); BATCH];
        let (events, _) = epoll::wait(&self.epoll, &mut space, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(events.iter().map(|event| (Source::decode(event.data.u64()), event.flags)).collect())
    }

    pub fn add_deadline(&mut self, at: Instant, token: Token) {
        self.deadlines.insert((at, token));
        self.arm();
    }

    pub fn remove_deadline(&mut self, at: Instant, token: Token) {
        // The timer stays as it is: an early wake-up finds nothing and sets it right.
        self.deadlines.remove(&(at, token));
    }

    /// Those whose time is over.
    pub fn expired(&mut self) -> Vec<Token> {
        let now = Instant::now();
        let mut over = Vec::new();
        while let Some((at, token)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, token));
            over.push(token);
        }
        self.armed_for = None;
        self.arm();
        over
    }

    /// Sets the timer for the first deadline, unless it already rings before.
    fn arm(&mut self) {
        let Some((first, _)) = self.deadlines.first().copied() else { return };
        if self.armed_for.is_some_and(|armed| armed <= first) {
            return;
        }
        // A zero would switch the timer off; deadlines that have passed ring after a nanosecond.
        let wait = first.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec) {
            Ok(_) => self.armed_for = Some(first),
            Err(error) => tracing::error!(%error, "vsock timer cannot be set"),
        }
    }

    fn add(&self, source: Source, fd: impl AsFd, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(source.encode()), flags)?)
    }
}

impl AsFd for Reactor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
