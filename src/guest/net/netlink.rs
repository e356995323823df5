//! rtnetlink by hand: a handful of messages (rtnetlink(7)), no library.

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv,
    send, socket_with,
};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;

/// A request: a header, a fixed part, attributes.
#[derive(Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// `kind` is `RTM_…`, `flags` are `NLM_F_…` beside `NLM_F_REQUEST`.
    pub fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        let mut request = Self(bytes);
        request.align();
        request
    }

    /// Appends an attribute.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.align();
        self
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// One message of an answer.
#[derive(Debug)]
pub struct Message<'a> {
    /// `RTM_…`, or `NLMSG_…`.
    pub kind: u16,
    /// What follows the header.
    pub body: &'a [u8],
}

/// A socket, subscribed to `groups` (`RTMGRP_…`; 0 for requests only).
///
/// # Errors
/// What socket(2) and bind(2) say.
pub fn open(groups: u32, blocking: bool) -> io::Result<OwnedFd> {
    let flags = if blocking { SocketFlags::CLOEXEC } else { SocketFlags::CLOEXEC | SocketFlags::NONBLOCK };
    // NETLINK_ROUTE is protocol 0, which `None` stands for.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Sends a request and passes each message of the answer to `each`, until the kernel says that it is complete.
///
/// # Errors
/// The error that the kernel answers with.
pub fn ask(socket: &OwnedFd, request: &Request, mut each: impl FnMut(&Message<'_>)) -> io::Result<()> {
    send(socket, &request.0, SendFlags::empty())?;
    // A dump comes in pieces of at most 32 KiB.
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let (length, _) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
        for message in messages(&buffer[..length]) {
            match i32::from(message.kind) {
                libc::NLMSG_DONE => return Ok(()),
                libc::NLMSG_ERROR => return acknowledged(message.body),
                _ => each(&message),
            }
        }
    }
}

fn acknowledged(body: &[u8]) -> io::Result<()> {
    let code =
        body.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(-libc::EPROTO, i32::from_ne_bytes);
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}

/// The messages of one read. Ends at the first that does not fit.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, body })
    })
}

/// The attributes behind a fixed part: kind and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_survive_any_bytes() {
        let request = Request::new(20, 0, &[1; 8]).attribute(1, &[7, 7, 7]).attribute(2, &[8]);
        let all: Vec<_> = messages(&request.0).collect();
        assert_eq!((all.len(), all[0].kind), (1, 20));
        let found: Vec<_> = attributes(&all[0].body[8..]).collect();
        assert_eq!(found, [(1, &[7, 7, 7][..]), (2, &[8][..])]);
        for length in 0..request.0.len() {
            assert_eq!(messages(&request.0[..length]).count(), 0);
        }
        // Lengths of 0, below the header, and beyond the end must neither loop nor panic.
        for hostile in [[0; 64], [0xff; 64], [3; 64]] {
            assert!(messages(&hostile).count() < 20);
            assert!(attributes(&hostile).count() < 20);
        }
    }
}
