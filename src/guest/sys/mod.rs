//! System calls that have no safe wrapper: the guest's only island of `unsafe`.
//!
//! Each file wraps one facility of the kernel and keeps no state. What `rustix` offers safely is used directly
//! by the callers and does not appear here.
#![expect(
    unsafe_code,
    reason = "the guest's one unsafe island: calls into the kernel that rustix does not wrap"
)]

pub mod bpf;
pub mod clock;
pub mod launch;
pub mod signals;
pub mod udp;
pub mod vsock;

use std::{io, os::fd::OwnedFd};

use tokio::io::unix::AsyncFd;

/// Turns the C convention (−1 and `errno`) into a `Result`.
fn check<T: PartialEq + From<i8>>(value: T) -> io::Result<T> {
    if value == T::from(-1) { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Registers a descriptor with the runtime.
///
/// # Errors
/// When the kernel cannot wait for it (a plain file).
pub fn awaited(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always returns the same descriptor, closes it only when it is dropped, and `AsyncFd`
    // deregisters it before that. Nothing here replaces it through `get_mut`.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

/// Takes the calling thread, and no other, out of the machine's network, for a test.
#[cfg(test)]
pub fn leave_network_namespace() {
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: a network namespace is a property of the thread; nothing that threads share is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("root can make a network namespace");
}
