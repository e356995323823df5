//! Where streams come from and go to: the handoff sockets of the keeper and of egress.
//!
//! A stream that the guest dials is one socket pair: an end stays here, the other goes to the receiver of that
//! port. The guest hears that it is connected only when the receiver has it; a receiver that is slow to take them
//! makes the guest wait, one that is gone makes its port refuse.

use std::{collections::VecDeque, io, os::fd::OwnedFd, os::unix::net::UnixStream};

use rustix::{
    io::{Errno, ioctl_fionbio},
    net::sockopt::set_socket_send_buffer_size,
};

use super::{
    connection::{Connection, Fate, Phase, Ports},
    core::Core,
    packet::Header,
    table::Token,
};
use crate::sys::handoff;

/// Our ports for streams that the host dials count up from here; those of services are far below.
pub(super) const FIRST_HOST_PORT: u32 = 1 << 30;

/// Streams taken from one dialler before the others have their turn.
const BURST: usize = 64;

/// Every way in and out of the device, handed in by whoever started us.
#[derive(Debug, Default)]
pub struct Routes {
    /// Host ports that the guest may dial, each with the handoff socket of the one who receives its streams.
    /// Every other port is refused.
    pub host_ports: Vec<(u32, OwnedFd)>,
    /// Handoff sockets from which "dial this port of the guest and join it to this stream" arrive. One that is a
    /// receiver too is given here as a duplicate. A dial that fails closes its stream.
    pub diallers: Vec<OwnedFd>,
}

/// A host port and its receiver.
#[derive(Debug)]
pub(super) struct Route {
    port: u32,
    socket: OwnedFd,
    /// Connections that the socket had no room for yet.
    waiting: VecDeque<Token>,
}

/// A handoff socket that asks for dials.
#[derive(Debug)]
pub(super) struct Dialler(OwnedFd);

impl Core {
    pub(super) fn connect_routes(&mut self, routes: Routes) -> io::Result<()> {
        for (index, (port, socket)) in (0..).zip(routes.host_ports) {
            ioctl_fionbio(&socket, true)?;
            self.reactor.watch_route(index, &socket)?;
            self.routes.push(Route { port, socket, waiting: VecDeque::new() });
        }
        for (index, socket) in (0..).zip(routes.diallers) {
            ioctl_fionbio(&socket, true)?;
            self.reactor.watch_dialler(index, &socket)?;
            self.diallers.push(Some(Dialler(socket)));
        }
        Ok(())
    }

    /// The guest asks for a connection to a host port.
    pub(super) fn guest_dials(&mut self, ports: Ports, header: &Header) {
        let route = self.routes.iter().position(|route| route.port == ports.host);
        let Some(route) = route.filter(|_| !self.table.is_full()) else { return self.refuse(header) };
        let (near, far) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(port = ports.host, %error, "no socket left for a stream of the guest");
                return self.refuse(header);
            }
        };
        let (mut credit, roomy) = self.grant();
        credit.peer_said(header.buf_alloc, header.fwd_cnt);
        if !roomy {
            // The kernel's share of a small window is small too. Failing only leaves it at its default.
            for end in [&near, &far] {
                let _ = set_socket_send_buffer_size(end, self.limits.small_window as usize);
            }
        }
        let mut connection = Connection::new(ports, Phase::HandingOff, near, credit);
        connection.far = Some(far);
        connection.roomy = roomy;
        match self.table.insert(connection) {
            Ok(token) => {
                self.set_deadline(token, self.limits.connect);
                self.routes[route].waiting.push_back(token);
                self.flush_route(route);
            }
            Err(_) => {
                self.return_grant(roomy);
                self.refuse(header);
            }
        }
    }

    /// Hands streams over for as long as the receiver's socket has room.
    pub(super) fn flush_route(&mut self, index: usize) {
        while let Some(&token) = self.routes[index].waiting.front() {
            let far = self.table.get(token).and_then(|connection| connection.far.take());
            // `None`: the guest, or time, gave up in between.
            let sent = far
                .as_ref()
                .map(|far| handoff::send(&self.routes[index].socket, self.routes[index].port, far));
            match sent {
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(connection) = self.table.get(token) {
                        connection.far = far;
                    }
                    return;
                }
                Some(Err(error)) => {
                    tracing::warn!(port = self.routes[index].port, %error, "a stream of the guest found no receiver");
                    self.conclude(token, Fate::Reset);
                }
                Some(Ok(())) => {
                    if let Some(connection) = self.table.get(token) {
                        connection.owed.response = true;
                    }
                    self.open(token);
                }
                None => {}
            }
            self.routes[index].waiting.pop_front();
        }
    }

    /// Takes what a dialler asks for.
    pub(super) fn on_dialler(&mut self, index: usize) {
        for _ in 0..BURST {
            let Some(Dialler(socket)) = self.diallers.get(index).and_then(Option::as_ref) else { return };
            match handoff::receive(socket) {
                Ok(Some(dial)) => self.host_dials(dial.port, dial.stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INTR) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(%error, "dial request ignored");
                }
                // Closed, or broken: its descriptor leaves the reactor with it.
                Ok(None) | Err(_) => {
                    self.diallers[index] = None;
                    return;
                }
            }
        }
    }

    /// Dials a port of the guest. Where that cannot be, the stream closes, which is the answer.
    fn host_dials(&mut self, guest_port: u32, stream: UnixStream) {
        let Some(ports) = self.free_ports(guest_port) else { return };
        let (credit, roomy) = self.grant();
        let mut connection = Connection::new(ports, Phase::Dialling, stream, credit);
        connection.roomy = roomy;
        connection.owed.request = true;
        match self.table.insert(connection) {
            Ok(token) => {
                self.set_deadline(token, self.limits.connect);
                self.conclude(token, Fate::Keep);
            }
            Err(_) => self.return_grant(roomy),
        }
    }

    /// A pair of ports that is not in use.
    fn free_ports(&mut self, guest: u32) -> Option<Ports> {
        if self.table.is_full() {
            return None;
        }
        // Fewer connections than tries: one must be free.
        for _ in 0..=self.limits.connections {
            let host = self.next_port;
            self.next_port = host.checked_add(1).filter(|&port| port != u32::MAX).unwrap_or(FIRST_HOST_PORT);
            let ports = Ports { host, guest };
            if self.table.find(ports).is_none() {
                return Some(ports);
            }
        }
        None
    }

    /// Both sides are there: bytes may flow.
    pub(super) fn open(&mut self, token: Token) {
        self.clear_deadline(token);
        let Some(connection) = self.table.get(token) else { return };
        connection.phase = Phase::Open;
        let watched = connection.stream().map(|stream| self.reactor.watch_stream(token, stream));
        match watched {
            Some(Ok(())) => self.conclude(token, Fate::Keep),
            Some(Err(error)) => {
                tracing::warn!(%error, "a stream cannot be watched");
                self.conclude(token, Fate::Reset);
            }
            None => self.conclude(token, Fate::Reset),
        }
    }
}
