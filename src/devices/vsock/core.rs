//! The device without its queues: packets of the guest in, packets for the guest out, streams beside it.
//!
//! It touches no guest memory and blocks on nothing. Its memory is bounded whatever the guest does: connections by
//! [`Limits::connections`], their windows by the shares of [`Limits`], refusals by [`REFUSALS`], after which it
//! takes no packet until the guest has fetched some.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use rustix::event::epoll::EventFlags;

use super::{
    connection::{Connection, Fate, Outgoing, Phase, Ports},
    credit::Credit,
    packet::{self, Header, TYPE_STREAM, op},
    reactor::{Reactor, Source},
    routes::{Dialler, Route, Routes},
    table::{Table, Token},
};
use crate::wire::HOST_CID;

/// Refusals that may wait for the guest; with more it has to fetch first.
const REFUSALS: usize = 256;

/// Bounds of one guest.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more are refused.
    pub connections: u16,
    /// How many connections at a time get the large window.
    pub roomy: u16,
    /// Bytes of the large window: enough that a stream is never slowed by it.
    pub large_window: u32,
    /// Bytes of the small window, for a guest that opens very many.
    pub small_window: u32,
    /// How long the other side of a dial may take.
    pub connect: Duration,
    /// How long the guest may take to agree that a connection is over.
    pub close: Duration,
}

impl Default for Limits {
    /// 256 × 256 KiB and 3,840 × 16 KiB: 124 MiB, and only while every receiver is stuck. The times are those
    /// after which Linux gives up too.
    fn default() -> Self {
        Self {
            connections: 4096,
            roomy: 256,
            large_window: 256 * 1024,
            small_window: 16 * 1024,
            connect: Duration::from_secs(10),
            close: Duration::from_secs(8),
        }
    }
}

/// A vsock device's state: all connections of one guest.
#[derive(Debug)]
pub struct Core {
    guest_cid: u64,
    pub(super) limits: Limits,
    pub(super) table: Table,
    pub(super) reactor: Reactor,
    pub(super) routes: Vec<Route>,
    pub(super) diallers: Vec<Option<Dialler>>,
    pub(super) next_port: u32,
    /// Connections that may have a packet for the guest, in turn.
    ready: VecDeque<Token>,
    refusals: VecDeque<Header>,
    roomy: u16,
}

impl Core {
    /// A device for the guest with this context id. All sockets become non-blocking.
    ///
    /// # Errors
    /// When the kernel has no descriptor left, or one that was handed in cannot be watched.
    pub fn new(guest_cid: u64, routes: Routes, limits: Limits) -> io::Result<Self> {
        let mut core = Self {
            guest_cid,
            limits,
            table: Table::new(limits.connections),
            reactor: Reactor::new()?,
            routes: Vec::new(),
            diallers: Vec::new(),
            next_port: super::routes::FIRST_HOST_PORT,
            ready: VecDeque::new(),
            refusals: VecDeque::new(),
            roomy: 0,
        };
        core.connect_routes(routes)?;
        Ok(core)
    }

    /// The guest's context id, for the device's configuration space.
    #[must_use]
    pub fn guest_cid(&self) -> u64 {
        self.guest_cid
    }

    /// Takes one packet of the guest: its header, then its payload. Any bytes are safe.
    pub fn handle_tx_packet(&mut self, packet: &[u8]) {
        let Some((header, data)) = packet::split(packet) else { return };
        if header.src_cid != self.guest_cid {
            return;
        }
        let ports = Ports { host: header.dst_port, guest: header.src_port };
        let ours = header.dst_cid == HOST_CID && header.kind == TYPE_STREAM;
        let known = self.table.find(ports).filter(|_| ours);
        match (known, data) {
            (Some(token), Some(data)) => {
                let Some(connection) = self.table.get(token) else { return };
                let fate = connection.on_packet(&header, data);
                self.conclude(token, fate);
            }
            (Some(token), None) => self.conclude(token, Fate::Reset),
            (None, Some(_)) if ours && header.op == op::REQUEST => self.guest_dials(ports, &header),
            (None, _) => self.refuse(&header),
        }
    }

    /// Whether a packet may be taken now. If not, one may be after the guest has fetched a packet.
    #[must_use]
    pub fn may_take_tx(&self) -> bool {
        self.refusals.len() < REFUSALS
    }

    /// Whether there may be a packet for the guest.
    #[must_use]
    pub fn has_rx(&self) -> bool {
        !self.refusals.is_empty() || !self.ready.is_empty()
    }

    /// The next packet for the guest. `payload` is where its bytes go; it has room for one at least.
    pub fn next_rx_packet(&mut self, payload: &mut [u8]) -> Option<Header> {
        if let Some(refusal) = self.refusals.pop_front() {
            return Some(refusal);
        }
        let limit = payload.len().min(packet::MAX_PAYLOAD);
        while let Some(token) = self.ready.pop_front() {
            let guest_cid = self.guest_cid;
            let Some(connection) = self.table.get(token) else { continue };
            connection.queued = false;
            let outgoing = connection.next_packet(&mut payload[..limit]);
            let header = outgoing.map(|outgoing| header_of(connection, guest_cid, outgoing));
            let fate = connection.settle();
            self.conclude(token, fate);
            if header.is_some() {
                return header;
            }
        }
        None
    }

    /// Handles what has happened on the descriptor of [`AsFd`]. Some may be left: it stays readable then.
    ///
    /// # Errors
    /// When the kernel cannot tell, after which nothing works.
    pub fn process_events(&mut self) -> io::Result<()> {
        for (source, flags) in self.reactor.events()? {
            match source {
                Source::Stream(token) => self.on_stream(token, flags),
                Source::Route(index) => self.flush_route(index as usize),
                Source::Dialler(index) => self.on_dialler(index as usize),
                Source::Timer => {
                    for token in self.reactor.expired() {
                        self.conclude(token, Fate::Reset);
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets every connection, as a new driver has: it is told nothing.
    pub fn reset(&mut self) {
        for token in self.table.tokens() {
            self.remove(token);
        }
        self.ready.clear();
        self.refusals.clear();
    }

    /// A window for a new connection. The large ones are counted.
    pub(super) fn grant(&mut self) -> (Credit, bool) {
        let roomy = self.roomy < self.limits.roomy;
        self.roomy += u16::from(roomy);
        (Credit::new(if roomy { self.limits.large_window } else { self.limits.small_window }), roomy)
    }

    /// Takes the window of a connection back that did not come to be.
    pub(super) fn return_grant(&mut self, roomy: bool) {
        self.roomy -= u16::from(roomy);
    }

    pub(super) fn set_deadline(&mut self, token: Token, after: Duration) {
        let Some(connection) = self.table.get(token) else { return };
        let at = Instant::now() + after;
        if let Some(old) = connection.deadline.replace(at) {
            self.reactor.remove_deadline(old, token);
        }
        self.reactor.add_deadline(at, token);
    }

    pub(super) fn clear_deadline(&mut self, token: Token) {
        if let Some(at) = self.table.get(token).and_then(|connection| connection.deadline.take()) {
            self.reactor.remove_deadline(at, token);
        }
    }

    /// Answers a packet that belongs to no connection, unless it is an RST itself.
    pub(super) fn refuse(&mut self, header: &Header) {
        if header.op != op::RST {
            self.refusals.push_back(header.refusal());
        }
    }

    /// Does to a connection what its state machine concluded.
    pub(super) fn conclude(&mut self, token: Token, fate: Fate) {
        match fate {
            Fate::Keep => self.keep(token),
            Fate::Opened => self.open(token),
            Fate::Gone => self.remove(token),
            Fate::Reset => {
                self.tell_reset(token);
                self.remove(token);
            }
            Fate::Orphaned => {
                self.tell_reset(token);
                self.table.forget_ports(token);
                if let Some(connection) = self.table.get(token) {
                    connection.phase = Phase::Draining;
                    connection.owed = Default::default();
                }
                self.clear_deadline(token);
            }
        }
    }

    fn keep(&mut self, token: Token) {
        let Some(connection) = self.table.get(token) else { return };
        if connection.wants_turn() && !std::mem::replace(&mut connection.queued, true) {
            self.ready.push_back(token);
        }
        if connection.phase == Phase::Closing && connection.deadline.is_none() {
            self.set_deadline(token, self.limits.close);
        }
    }

    fn tell_reset(&mut self, token: Token) {
        let Some(ports) = self.table.get(token).map(|connection| connection.ports) else { return };
        self.refusals.push_back(Header {
            src_cid: HOST_CID,
            dst_cid: self.guest_cid,
            src_port: ports.host,
            dst_port: ports.guest,
            kind: TYPE_STREAM,
            op: op::RST,
            ..Header::default()
        });
    }

    fn remove(&mut self, token: Token) {
        self.clear_deadline(token);
        if let Some(connection) = self.table.remove(token) {
            self.return_grant(connection.roomy);
        }
    }

    fn on_stream(&mut self, token: Token, flags: EventFlags) {
        let Some(connection) = self.table.get(token) else { return };
        let closed = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        let readable = closed || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        let fate = connection.on_ready(readable, closed);
        self.conclude(token, fate);
    }
}

impl AsFd for Core {
    /// Readable when [`Core::process_events`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reactor.as_fd()
    }
}

fn header_of(connection: &mut Connection, guest_cid: u64, outgoing: Outgoing) -> Header {
    let (buf_alloc, fwd_cnt) = connection.credit.tell();
    Header {
        src_cid: HOST_CID,
        dst_cid: guest_cid,
        src_port: connection.ports.host,
        dst_port: connection.ports.guest,
        len: outgoing.len as u32,
        kind: TYPE_STREAM,
        op: outgoing.op,
        flags: outgoing.flags,
        buf_alloc,
        fwd_cnt,
    }
}
