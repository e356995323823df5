//! PID 1 after boot: starts the three servers, reaps, restarts, and ends the machine.
//!
//! One loop owns all state and waits for three kinds of event: a signal (something died, or somebody inside asked
//! for the end), a byte from a server, the moment of a restart.
//!
//! ```text
//! boot ─▶ net, exec start ─▶ both listen ─▶ control starts, the host hears Ready
//!   any server dies ─▶ again after 0.1 s, 0.2 s … 10 s ─▶ the 12th time without a minute between: fatal
//!   PowerOff (host, or a signal as busybox and sysvinit send it) ─▶ TERM, 3 s, KILL, 2 s, sync, read-only, off
//! ```

mod ending;

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags},
    pipe::{PipeFlags, pipe_with},
    process::{Resource, Rlimit, WaitOptions, setrlimit, wait},
};

use self::ending::{fatal, poll_until, power_off, say};
use crate::{
    boot::{self, Booted},
    handover::{POWER_OFF, READY},
    sys::{
        launch::{Launch, launch},
        signals::Signals,
    },
};

/// Boots, serves, powers off. Returns only when even powering off fails, which makes the kernel panic: an end, too.
///
/// # Errors
/// When powering off fails.
pub fn run() -> io::Result<()> {
    std::panic::set_hook(Box::new(|panic| drop(fatal(&panic.to_string()))));
    let signals = match Signals::block(&[
        libc::SIGCHLD,
        libc::SIGHUP,
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGPWR,
    ]) {
        Ok(signals) => signals,
        Err(error) => return fatal(&format!("signals: {error}")),
    };
    let limit = Rlimit { current: Some(1024), maximum: Some(524_288) };
    let _ = setrlimit(Resource::Nofile, limit);
    let booted = match boot::bring_up() {
        Ok(booted) => booted,
        Err(error) => return fatal(&error.to_string()),
    };
    for note in &booted.handover.notes {
        say(&format!("note: {note}"));
    }
    match Supervisor::new(&booted).and_then(|mut supervisor| supervisor.run(&signals)) {
        Ok(()) => power_off(&signals, &booted.disks),
        Err(error) => fatal(&error.to_string()),
    }
}

/// One of the three servers.
#[derive(Debug)]
struct Service {
    role: &'static str,
    pid: Option<u32>,
    started: Instant,
    /// What it says to us; gone with it.
    said: Option<OwnedFd>,
    listens: bool,
    deaths: Deaths,
    again_at: Option<Instant>,
}

/// How often a server died in quick succession.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Deaths(u32);

impl Deaths {
    const LIVED_WELL: Duration = Duration::from_secs(60);
    const TOO_MANY: u32 = 12;

    /// After a life of this length: how long to wait, or `None` when it is no use.
    fn next(&mut self, lived: Duration) -> Option<Duration> {
        self.0 = if lived >= Self::LIVED_WELL { 1 } else { self.0 + 1 };
        let wait = Duration::from_millis(100) * 2u32.pow((self.0 - 1).min(16));
        (self.0 < Self::TOO_MANY).then(|| wait.min(Duration::from_secs(10)))
    }
}

struct Supervisor {
    handover: OwnedFd,
    services: [Service; 3],
}

const NET: usize = 0;
const EXEC: usize = 1;
const CONTROL: usize = 2;

/// What the loop does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Supervisor {
    fn new(booted: &Booted) -> io::Result<Self> {
        let service = |role| Service {
            role,
            pid: None,
            started: Instant::now(),
            said: None,
            listens: false,
            deaths: Deaths::default(),
            again_at: None,
        };
        let services = ["net", "exec", "control"].map(service);
        Ok(Self { handover: booted.handover.to_file()?, services })
    }

    /// Serves until the machine is to end.
    fn run(&mut self, signals: &Signals) -> io::Result<()> {
        self.start(NET)?;
        self.start(EXEC)?;
        loop {
            let ready = self.wait(signals)?;
            if ready.contains(&None) && self.on_signals(signals)? == Next::End {
                return Ok(());
            }
            for index in ready.into_iter().flatten() {
                if self.on_byte(index)? == Next::End {
                    return Ok(());
                }
            }
            self.restart_due()?;
        }
    }

    /// Waits for something to happen: `None` stands for a signal, an index for a server that said something.
    fn wait(&self, signals: &Signals) -> io::Result<Vec<Option<usize>>> {
        let mut sources = vec![None];
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        for (index, service) in self.services.iter().enumerate() {
            if let Some(said) = &service.said {
                sources.push(Some(index));
                fds.push(PollFd::new(said, PollFlags::IN));
            }
        }
        let soonest = self.services.iter().filter_map(|service| service.again_at).min();
        poll_until(&mut fds, soonest)?;
        let ready = fds.iter().zip(sources).filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, source)| source).collect())
    }

    fn start(&mut self, index: usize) -> io::Result<()> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let service = &mut self.services[index];
        let role = CString::new(service.role).map_err(io::Error::from)?;
        let started = launch(&Launch {
            paths: &[c"/proc/self/exe".into()],
            arguments: &[c"cofferdam-guest".into(), role],
            environment: &[],
            stdio: [self.handover.as_fd(), theirs.as_fd(), rustix::stdio::stderr()],
            working_dir: c"/",
            identity: None,
            terminal: false,
            cgroup: None,
        });
        (service.started, service.again_at, service.listens) = (Instant::now(), None, false);
        match started {
            Ok(child) => (service.pid, service.said) = (Some(child.pid), Some(ours)),
            // No memory or no process left just now: the same as a quick death.
            Err(error) => {
                say(&format!("{} does not start: {}", service.role, error.source));
                self.plan_restart(index)?;
            }
        }
        Ok(())
    }

    fn plan_restart(&mut self, index: usize) -> io::Result<()> {
        let service = &mut self.services[index];
        (service.pid, service.said) = (None, None);
        let Some(wait) = service.deaths.next(service.started.elapsed()) else {
            return Err(io::Error::other(format!("{} keeps dying", service.role)));
        };
        service.again_at = Some(Instant::now() + wait);
        Ok(())
    }

    fn restart_due(&mut self) -> io::Result<()> {
        for index in 0..self.services.len() {
            if self.services[index].again_at.is_some_and(|at| at <= Instant::now()) {
                self.start(index)?;
            }
        }
        Ok(())
    }

    fn on_signals(&mut self, signals: &Signals) -> io::Result<Next> {
        let mut next = Next::GoOn;
        while let Some(number) = signals.next()? {
            if !matches!(number, libc::SIGCHLD | libc::SIGHUP) {
                next = Next::End;
            }
        }
        // Several deaths may share one signal: bury all that are there.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get() as u32;
            if let Some(index) = self.services.iter().position(|service| service.pid == Some(pid)) {
                say(&format!("{} ended: {status:?}", self.services[index].role));
                self.plan_restart(index)?;
            }
        }
        Ok(next)
    }

    fn on_byte(&mut self, index: usize) -> io::Result<Next> {
        let service = &mut self.services[index];
        let Some(said) = &service.said else { return Ok(Next::GoOn) };
        let mut bytes = [0; 16];
        match rustix::io::read(said, &mut bytes) {
            Ok(0) => service.said = None,
            Ok(length) if index == CONTROL => {
                if bytes[..length].contains(&POWER_OFF) {
                    return Ok(Next::End);
                }
            }
            Ok(length) => service.listens |= bytes[..length].contains(&READY),
            Err(_) => {}
        }
        let both = self.services[NET].listens && self.services[EXEC].listens;
        let control = &self.services[CONTROL];
        if both && control.pid.is_none() && control.again_at.is_none() {
            let age = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            say(&format!("up, {}.{:03} s after the kernel", age.tv_sec, age.tv_nsec / 1_000_000));
            self.start(CONTROL)?;
        }
        Ok(Next::GoOn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_dying_ends_the_machine_and_one_that_lived_well_does_not() {
        let mut deaths = Deaths::default();
        let quick = Duration::from_millis(5);
        let waits: Vec<_> = std::iter::from_fn(|| deaths.next(quick)).collect();
        assert_eq!(waits.len(), 11);
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(*waits.last().unwrap(), Duration::from_secs(10));
        let mut deaths = Deaths(11);
        assert_eq!(deaths.next(Duration::from_secs(61)), Some(Duration::from_millis(100)));
    }
}
