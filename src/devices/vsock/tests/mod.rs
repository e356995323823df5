//! The device against guests that keep the rules and guests that do not; no machine is needed.

mod core;
mod driver;
mod fuzz;
mod hostile;
mod rings;
mod routes;
mod vhost_user;

use std::{
    io::{self, Read, Write},
    os::fd::OwnedFd,
    os::unix::net::UnixStream,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Core, Limits, Routes,
    packet::{Header, TYPE_STREAM, op},
};
use crate::{sys::handoff, wire::HOST_CID};

const CID: u64 = 3;
/// The port that has a receiver.
const SERVICE: u32 = 2;
const NOTHING: [u16; 0] = [];

/// Limits small enough to be reached.
fn small() -> Limits {
    Limits {
        connections: 8,
        roomy: 2,
        large_window: 300_000,
        small_window: 4096,
        connect: Duration::from_secs(3600),
        close: Duration::from_secs(3600),
    }
}

/// A guest's kernel reduced to what a test needs, and the host's side of the same device.
struct Bench {
    core: Core,
    receiver: OwnedFd,
    dialler: OwnedFd,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let (receiver, theirs) = handoff::pair().unwrap();
        let (dialler, dials) = handoff::pair().unwrap();
        let routes = Routes { host_ports: vec![(SERVICE, theirs)], diallers: vec![dials] };
        Self { core: Core::new(CID, routes, limits).unwrap(), receiver, dialler }
    }

    /// The guest sends a packet with plenty of credit.
    fn send(&mut self, guest_port: u32, host_port: u32, op: u16, data: &[u8]) {
        self.send_raw(Header { op, len: data.len() as u32, ..packet(guest_port, host_port) }, data);
    }

    fn send_raw(&mut self, header: Header, data: &[u8]) {
        self.core.handle_tx_packet(&[&header.encode()[..], data].concat());
    }

    /// The guest fetches all that there is.
    fn fetch(&mut self) -> Vec<(Header, Vec<u8>)> {
        std::iter::from_fn(|| self.fetch_one()).collect()
    }

    fn fetch_one(&mut self) -> Option<(Header, Vec<u8>)> {
        let mut payload = vec![0; 4096];
        let header = self.core.next_rx_packet(&mut payload)?;
        payload.truncate(header.len as usize);
        Some((header, payload))
    }

    fn fetch_ops(&mut self) -> Vec<u16> {
        self.fetch().iter().map(|(header, _)| header.op).collect()
    }

    /// Waits for an event and lets the core handle it.
    fn turn(&mut self) {
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.core, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ready, 1, "nothing happened");
        self.core.process_events().unwrap();
    }

    /// Handles what has happened already.
    fn settle(&mut self) {
        self.core.process_events().unwrap();
    }

    /// The guest dials the service; the host's end of the stream.
    fn connect(&mut self, guest_port: u32) -> UnixStream {
        self.send(guest_port, SERVICE, op::REQUEST, &[]);
        assert_eq!(self.fetch_ops(), [op::RESPONSE]);
        let handed = handoff::receive(&self.receiver).unwrap().unwrap();
        assert_eq!(handed.port, SERVICE);
        self.settle();
        // A test that waits in vain fails.
        handed.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        handed.stream
    }

    /// Bytes of the guest that the device holds.
    fn backlog(&mut self) -> usize {
        let tokens = self.core.table.tokens();
        tokens.into_iter().map(|token| self.core.table.get(token).unwrap().backlog_len()).sum()
    }

    /// The host dials a port of the guest, which has yet to answer; its end, and our port.
    fn dial(&mut self, guest_port: u32) -> (UnixStream, u32) {
        let (near, far) = UnixStream::pair().unwrap();
        handoff::send(&self.dialler, guest_port, far).unwrap();
        self.turn();
        let (header, _) = self.fetch_one().unwrap();
        assert_eq!((header.op, header.dst_port), (op::REQUEST, guest_port));
        (near, header.src_port)
    }
}

fn packet(guest_port: u32, host_port: u32) -> Header {
    Header {
        src_cid: CID,
        dst_cid: HOST_CID,
        src_port: guest_port,
        dst_port: host_port,
        kind: TYPE_STREAM,
        buf_alloc: 1 << 20,
        ..Header::default()
    }
}

/// Whether the other end of an idle stream is closed; false only after a long wait.
fn is_closed(stream: &mut UnixStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.read(&mut [0]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Writes until the socket is full.
fn stuff(stream: &mut UnixStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut total = 0;
    loop {
        match stream.write(&[7; 1000]) {
            Ok(len) => total += len,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stream.set_nonblocking(false).unwrap();
                return total;
            }
        }
    }
}
