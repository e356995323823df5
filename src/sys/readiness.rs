//! Descriptors that are no sockets of the runtime's own kinds, on the runtime's event loop.

use std::{io, os::fd::OwnedFd};

use tokio::io::unix::AsyncFd;

/// Watches `descriptor`, which is made non-blocking. Needs a runtime with I/O around it.
///
/// # Errors
/// When the kernel cannot poll what is behind it.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    // SAFETY: an `OwnedFd` is open for as long as it lives, always names the same description, and lives inside the
    // `AsyncFd` from here on.
    unsafe { AsyncFd::register(descriptor) }.map_err(Into::into)
}
