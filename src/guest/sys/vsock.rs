//! `AF_VSOCK` sockets (vsock(7)): the only transport that leaves the machine.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use super::check;

fn address(cid: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: sockaddr_vm is plain old data for which all zeroes is a valid value.
    let mut address: libc::sockaddr_vm = unsafe { mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = cid;
    address.svm_port = port;
    address
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let fd = check(unsafe {
        libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
    })?;
    // SAFETY: the descriptor was just made and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A non-blocking listener on `port`, reachable from any context id.
///
/// # Errors
/// When the kernel has no vsock, or the port is taken.
pub fn listen(port: u32) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let address = address(libc::VMADDR_CID_ANY, port);
    // SAFETY: `address` is a live sockaddr_vm and the length is its size.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_vm>() as libc::socklen_t,
        )
    })?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}

/// Accepts one stream: the socket and the context id of who dialled.
///
/// # Errors
/// `WouldBlock` when nobody waits; else what accept(2) says.
pub fn accept(listener: impl AsFd) -> io::Result<(OwnedFd, u32)> {
    let mut address = address(0, 0);
    let mut length = mem::size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    // SAFETY: `address` and `length` are live, and `length` holds the size of `address`.
    let fd = check(unsafe {
        libc::accept4(
            listener.as_fd().as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut length,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    })?;
    // SAFETY: the descriptor was just made and nothing else owns it.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, address.svm_cid))
}

/// Begins to connect to `port` of `cid`. The socket becomes writable when that has ended; `SO_ERROR` says how.
///
/// # Errors
/// When the kernel has no vsock or refuses at once.
pub fn dial(cid: u32, port: u32) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let address = address(cid, port);
    // SAFETY: `address` is a live sockaddr_vm and the length is its size.
    let result = check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_vm>() as libc::socklen_t,
        )
    });
    match result {
        Ok(_) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
