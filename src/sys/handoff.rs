//! New streams by descriptor passing: how a process that may not call `socket` or `connect` gets its connections.
//!
//! A handoff socket is one end of an `AF_UNIX` `SOCK_SEQPACKET` pair. Each message is one stream: four bytes of
//! port, little-endian, and one descriptor of an `AF_UNIX` `SOCK_STREAM` socket in `SCM_RIGHTS`.
//!
//! * `vsock` → keeper, egress: the guest dialled host port P; here is its stream.
//! * keeper → `vsock`: dial guest port P and join it to this stream.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

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
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one stream.
///
/// # Errors
/// `WouldBlock` when the socket is non-blocking and its queue full; others when the peer is gone.
pub fn send(socket: impl AsFd, port: u32, stream: impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stream.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(&port.to_le_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one stream; `None` when the peer has closed.
///
/// # Errors
/// `WouldBlock` when the socket is non-blocking and nothing is queued; `InvalidData` for a message of another form.
pub fn receive(socket: impl AsFd) -> io::Result<Option<Handoff>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut port = [0; 4];
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut port)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = ancillary {
            descriptors.extend(rights);
        }
    }
    if message.bytes == 0 && descriptors.is_empty() {
        return Ok(None);
    }
    let truncated = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    match (message.bytes, truncated, <[OwnedFd; 1]>::try_from(descriptors)) {
        (4, false, Ok([stream])) => {
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
