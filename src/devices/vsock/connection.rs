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

use std::{os::unix::net::UnixStream, time::Instant};

use super::{
    credit::Credit,
    local::Local,
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
    local: Local,
    /// Flags of the shutdown that the guest was told last.
    told_shutdown: u32,
    /// The guest was asked for credit since it last gave some.
    asked: bool,
    guest_sends_no_more: bool,
    guest_receives_no_more: bool,
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
            local: Local::new(stream),
            told_shutdown: 0,
            asked: false,
            guest_sends_no_more: false,
            guest_receives_no_more: false,
        }
    }

    pub fn stream(&self) -> Option<&UnixStream> {
        self.local.stream()
    }

    #[cfg(test)]
    pub fn backlog_len(&self) -> usize {
        self.local.backlog()
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
        if readable {
            self.local.set_readable();
        }
        let left = if closed { self.local.refuse() } else { self.local.flush() };
        self.forwarded(left);
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
            let len = self.local.read(&mut payload[..room]);
            if len > 0 {
                self.credit.sent(len);
                return Some(Outgoing { op: op::RW, flags: 0, len });
            }
            if self.local.is_readable()
                && self.credit.available() == 0
                && !std::mem::replace(&mut self.asked, true)
            {
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
        let drained = self.guest_sends_no_more && self.local.backlog() == 0;
        let towards_host = self.local.receives_no_more() || drained;
        let towards_guest = self.local.sends_no_more() || self.guest_receives_no_more;
        if drained {
            self.local.end_writing();
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
                self.local.close();
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
        let left = self.local.write(data);
        self.forwarded(left);
        self.settle()
    }

    fn on_shutdown(&mut self, flags: u32) -> Fate {
        self.guest_sends_no_more |= flags & shutdown::SEND != 0;
        if flags & shutdown::RECEIVE != 0 && !std::mem::replace(&mut self.guest_receives_no_more, true) {
            self.local.end_reading();
        }
        self.settle()
    }

    fn has_bytes(&self) -> bool {
        self.phase == Phase::Open && self.local.is_readable() && !self.guest_receives_no_more
    }

    fn shutdown_flags(&self) -> u32 {
        match self.phase {
            Phase::Open => {
                let send = if self.local.sends_no_more() { shutdown::SEND } else { 0 };
                let receive = if self.local.receives_no_more() { shutdown::RECEIVE } else { 0 };
                send | receive
            }
            Phase::Closing => shutdown::BOTH,
            Phase::HandingOff | Phase::Dialling | Phase::Draining => 0,
        }
    }

    fn untold_shutdown(&self) -> u32 {
        self.shutdown_flags() & !self.told_shutdown
    }

    /// Bytes of the guest have left our hands.
    fn forwarded(&mut self, len: usize) {
        self.credit.forwarded(len);
        self.owed.credit |= self.credit.update_due() && !self.guest_sends_no_more;
    }
}
