//! One stream: a socket on our side, a vsock peer on the guest's, and the state between them.
//!
//! ```text
//!   HandingOff ──(receiver has it)──┐                  guest said both ends are shut, bytes left: Draining ─▶ gone
//!                                   ▼                ┌──────────────────▲
//!   Dialling ───(guest accepts)──▶ Open ─────────────┤
//!                                                    └─(both directions done)─▶ Closing ─(guest's RST, or time)─▶ gone
//! ```
//!
//! The connection owns its socket, its credit and the bytes of the guest that the socket would not take yet, which
//! credit bounds. Bytes for the guest are never held here: they stay in the socket until there is credit and a
//! buffer of the guest to read them into. What must be told to the guest is a handful of flags, so a guest that
//! does not listen costs nothing.

use std::{collections::VecDeque, net::Shutdown, os::unix::net::UnixStream, time::Instant};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};

use super::{
    credit::Credit,
    packet::{Header, op, shutdown},
};

/// Both ports of a connection, which name it: there is one guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    pub host: u32,
    pub guest: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The guest asked; the other end waits to be sent to its receiver.
    HandingOff,
    /// We asked; the guest has not answered.
    Dialling,
    /// Bytes flow.
    Open,
    /// Nothing more will flow; the guest has yet to agree.
    Closing,
    /// The guest has forgotten the connection; the socket has yet to take its last bytes.
    Draining,
}

/// What is to become of a connection after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fate {
    /// It goes on.
    Keep,
    /// The guest accepted our dial: start moving bytes.
    Opened,
    /// It is over and the guest knows.
    Gone,
    /// It is over; the guest gets an RST.
    Reset,
    /// It is over for the guest, which gets an RST; the socket has yet to take the last bytes.
    Orphaned,
}

/// Control packets that the guest is owed; at most one of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owed {
    pub request: bool,
    pub response: bool,
    pub credit: bool,
}

/// A packet for the guest, of which the payload has been written where the caller wanted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub op: u16,
    pub flags: u32,
    pub len: usize,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub ports: Ports,
    pub phase: Phase,
    pub deadline: Option<Instant>,
    /// The end that goes to the receiver, while [`Phase::HandingOff`].
    pub far: Option<UnixStream>,
    pub credit: Credit,
    pub owed: Owed,
    /// It stands in the queue of those that have something for the guest.
    pub queued: bool,
    /// Whether its window is one of the large ones, which are counted.
    pub roomy: bool,
    stream: Option<UnixStream>,
    /// Bytes of the guest that the socket did not take yet; while there are some, it was full at the last try.
    backlog: VecDeque<u8>,
    readable: bool,
    /// Flags of the shutdown that the guest was told last.
    told_shutdown: u32,
    /// The socket was shut for writing.
    told_host_end: bool,
    /// The guest was asked for credit since it last gave some.
    asked: bool,
    guest_sends_no_more: bool,
    guest_receives_no_more: bool,
    host_sends_no_more: bool,
    host_receives_no_more: bool,
}

impl Connection {
    pub fn new(ports: Ports, phase: Phase, stream: UnixStream, credit: Credit) -> Self {
        Self {
            ports,
            phase,
            deadline: None,
            far: None,
            credit,
            owed: Owed::default(),
            queued: false,
            roomy: false,
            stream: Some(stream),
            backlog: VecDeque::new(),
            readable: false,
            told_shutdown: 0,
            told_host_end: false,
            asked: false,
            guest_sends_no_more: false,
            guest_receives_no_more: false,
            host_sends_no_more: false,
            host_receives_no_more: false,
        }
    }

    pub fn stream(&self) -> Option<&UnixStream> {
        self.stream.as_ref()
    }

    #[cfg(test)]
    pub fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// A packet of the guest with these ports.
    pub fn on_packet(&mut self, header: &Header, data: &[u8]) -> Fate {
        self.credit.peer_said(header.buf_alloc, header.fwd_cnt);
        if self.credit.available() > 0 {
            self.asked = false;
        }
        match (self.phase, header.op) {
            (_, op::RST) => Fate::Gone,
            (Phase::Dialling, op::RESPONSE) => Fate::Opened,
            (Phase::Open | Phase::Closing, op::RW) => self.on_data(data),
            (Phase::Open | Phase::Closing, op::SHUTDOWN) => self.on_shutdown(header.flags),
            (Phase::Open | Phase::Closing, op::CREDIT_UPDATE) => Fate::Keep,
            (Phase::Open | Phase::Closing, op::CREDIT_REQUEST) => {
                self.owed.credit = true;
                Fate::Keep
            }
            _ => Fate::Reset,
        }
    }

    /// The socket has become readable, writable or was closed (edge triggered).
    pub fn on_ready(&mut self, readable: bool, closed: bool) -> Fate {
        self.readable |= readable;
        if closed {
            self.refuse();
        }
        self.flush();
        self.settle()
    }

    /// Whether there may be a packet for the guest.
    pub fn wants_turn(&self) -> bool {
        self.owed != Owed::default()
            || self.untold_shutdown() != 0
            || (self.has_bytes() && (self.credit.available() > 0 || !self.asked))
    }

    /// The next packet for the guest; its payload, at most `payload.len()` bytes, has been written there.
    pub fn next_packet(&mut self, payload: &mut [u8]) -> Option<Outgoing> {
        if std::mem::take(&mut self.owed.request) {
            return Some(Outgoing { op: op::REQUEST, ..Outgoing::default() });
        }
        if std::mem::take(&mut self.owed.response) {
            return Some(Outgoing { op: op::RESPONSE, ..Outgoing::default() });
        }
        if self.has_bytes() {
            let room = payload.len().min(self.credit.available());
            let len = self.read(&mut payload[..room]);
            if len > 0 {
                self.credit.sent(len);
                return Some(Outgoing { op: op::RW, flags: 0, len });
            }
            if self.readable && self.credit.available() == 0 && !std::mem::replace(&mut self.asked, true) {
                return Some(Outgoing { op: op::CREDIT_REQUEST, ..Outgoing::default() });
            }
        }
        if self.untold_shutdown() != 0 {
            // All flags so far: the guest adds them up.
            self.told_shutdown = self.shutdown_flags();
            return Some(Outgoing { op: op::SHUTDOWN, flags: self.told_shutdown, len: 0 });
        }
        std::mem::take(&mut self.owed.credit)
            .then_some(Outgoing { op: op::CREDIT_UPDATE, ..Outgoing::default() })
    }

    /// Draws the conclusion from the flags; to be called when one may have changed.
    pub fn settle(&mut self) -> Fate {
        let towards_host =
            self.host_receives_no_more || (self.guest_sends_no_more && self.backlog.is_empty());
        let towards_guest = self.host_sends_no_more || self.guest_receives_no_more;
        if towards_host && !std::mem::replace(&mut self.told_host_end, true) {
            self.shut(Shutdown::Write);
        }
        match self.phase {
            Phase::Draining if towards_host => Fate::Gone,
            Phase::Open | Phase::Closing if self.guest_sends_no_more && self.guest_receives_no_more => {
                if towards_host {
                    Fate::Reset
                } else {
                    Fate::Orphaned
                }
            }
            Phase::Open if towards_host && towards_guest => {
                self.stream = None;
                self.phase = Phase::Closing;
                Fate::Keep
            }
            _ => Fate::Keep,
        }
    }

    fn on_data(&mut self, data: &[u8]) -> Fate {
        if self.guest_sends_no_more || self.credit.receive(data.len()).is_err() {
            return Fate::Reset;
        }
        let direct = if self.backlog.is_empty() { self.write(data) } else { 0 };
        if self.host_receives_no_more {
            self.credit.forwarded(data.len() - direct);
        } else {
            // Exactly, so that credit bounds the memory too and not half of it.
            self.backlog.reserve_exact(data.len() - direct);
            self.backlog.extend(&data[direct..]);
        }
        self.note_credit();
        self.settle()
    }

    fn on_shutdown(&mut self, flags: u32) -> Fate {
        self.guest_sends_no_more |= flags & shutdown::SEND != 0;
        if flags & shutdown::RECEIVE != 0 && !std::mem::replace(&mut self.guest_receives_no_more, true) {
            self.shut(Shutdown::Read);
        }
        self.settle()
    }

    fn has_bytes(&self) -> bool {
        self.phase == Phase::Open && self.readable && !self.host_sends_no_more && !self.guest_receives_no_more
    }

    fn shutdown_flags(&self) -> u32 {
        match self.phase {
            Phase::Open => {
                let send = if self.host_sends_no_more { shutdown::SEND } else { 0 };
                let receive = if self.host_receives_no_more { shutdown::RECEIVE } else { 0 };
                send | receive
            }
            Phase::Closing => shutdown::BOTH,
            Phase::HandingOff | Phase::Dialling | Phase::Draining => 0,
        }
    }

    fn untold_shutdown(&self) -> u32 {
        self.shutdown_flags() & !self.told_shutdown
    }

    /// Reads from the socket what is there; notes its end.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(stream) = self.stream.as_ref().filter(|_| !buffer.is_empty()) else { return 0 };
        let result = loop {
            match recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        match result {
            Ok((len, _)) if len > 0 => return len,
            Err(Errno::WOULDBLOCK) => {}
            // A reset socket has no more to say either.
            Ok(_) | Err(_) => self.host_sends_no_more = true,
        }
        self.readable = false;
        0
    }

    /// Writes to the socket what it takes, and counts it; notes that it takes no more.
    fn write(&mut self, data: &[u8]) -> usize {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.host_receives_no_more) else { return 0 };
        let mut done = 0;
        let mut broken = false;
        while done < data.len() {
            match send(stream, &data[done..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(len) => done += len,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        self.credit.forwarded(done);
        if broken {
            self.refuse();
        }
        done
    }

    fn flush(&mut self) {
        while !self.backlog.is_empty() {
            let mut backlog = std::mem::take(&mut self.backlog);
            let done = self.write(backlog.as_slices().0);
            if self.host_receives_no_more {
                self.credit.forwarded(backlog.len() - done);
                break;
            }
            backlog.drain(..done);
            let full = done == 0;
            // An empty queue gives its memory back: idle connections hold none.
            if !backlog.is_empty() {
                self.backlog = backlog;
            }
            if full {
                break;
            }
        }
        self.note_credit();
    }

    /// The host's side takes no more bytes; what is held for it is dropped.
    fn refuse(&mut self) {
        if !std::mem::replace(&mut self.host_receives_no_more, true) {
            let dropped = std::mem::take(&mut self.backlog).len();
            self.credit.forwarded(dropped);
        }
    }

    fn note_credit(&mut self) {
        self.owed.credit |= self.credit.update_due() && !self.guest_sends_no_more;
    }

    fn shut(&self, how: Shutdown) {
        if let Some(stream) = &self.stream {
            // It fails only when the other end is gone, and then there is nothing to shut.
            let _ = stream.shutdown(how);
        }
    }
}
