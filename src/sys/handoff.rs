//! New streams by descriptor passing: how a process that may not call `socket` or `connect` gets its connections.
//!
//! A handoff socket is one end of an `AF_UNIX` `SOCK_SEQPACKET` pair. Each message is one stream: four bytes of
//! port, little-endian, and one descriptor of an `AF_UNIX` `SOCK_STREAM` socket in `SCM_RIGHTS`.
//!
//! * `vsock` → keeper, egress: the guest dialled host port P; here is its stream.
//! * keeper → `vsock`: dial guest port P and join it to this stream.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream,
};

use super::packet;

/// A stream and the vsock port that it is for.
#[derive(Debug)]
pub struct Handoff {
    /// The vsock port that was dialled, or is to be dialled.
    pub port: u32,
    /// One end of the stream; the receiver owns it.
    pub stream: UnixStream,
}

/// Both ends of a new handoff socket, close-on-exec.
///
/// # Errors
/// When the kernel has no descriptor left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    packet::pair()
}

/// Sends one stream.
///
/// # Errors
/// `WouldBlock` when the socket is non-blocking and its queue full; others when the peer is gone.
pub fn send(socket: impl AsFd, port: u32, stream: impl AsFd) -> io::Result<()> {
    packet::send(socket, &port.to_le_bytes(), &[stream.as_fd()])
}

/// Receives one stream; `None` when the peer has closed.
///
/// # Errors
/// `WouldBlock` when the socket is non-blocking and nothing is queued; `InvalidData` for a message of another form.
pub fn receive(socket: impl AsFd) -> io::Result<Option<Handoff>> {
    let Some((port, descriptors)) = packet::receive(socket, 4)? else { return Ok(None) };
    match (<[u8; 4]>::try_from(port), <[OwnedFd; 1]>::try_from(descriptors)) {
        (Ok(port), Ok([stream])) => {
            Ok(Some(Handoff { port: u32::from_le_bytes(port), stream: stream.into() }))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "handoff message of an unknown form")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_stream_crosses_with_its_port() {
        let (left, right) = pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        send(&left, 7, far).unwrap();
        let mut got = receive(&right).unwrap().unwrap();
        assert_eq!(got.port, 7);
        got.stream.write_all(b"hi").unwrap();
        drop(got);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hi");
        drop(left);
        assert!(receive(&right).unwrap().is_none());
    }

    #[test]
    fn a_message_without_a_stream_is_refused() {
        let (left, right) = pair().unwrap();
        rustix::io::write(&left, &[1, 2, 3, 4]).unwrap();
        assert_eq!(receive(&right).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
