//! Descriptors that a process was started with.

use std::{
    fs, io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use rustix::io::FdFlags;

/// Number of a zone's configuration: a sealed memory file with JSON.
pub const CONFIG: RawFd = 3;
/// Number of a zone's lifeline: a pipe whose writing end only the launcher holds.
pub const LIFELINE: RawFd = 4;
/// Number of the first of the descriptors that are the zone's own.
pub const FIRST: RawFd = 5;

/// Takes over descriptor `number`, which the parent put there, and sets close-on-exec.
///
/// # Errors
/// When nothing is open at that number.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only reads the flags of a number; an unused number gives EBADF.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above), and each number is inherited once: by the zone's entry,
    // before it opens anything, from a list of distinct numbers.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// Moves `descriptor` to `number`, close-on-exec; what was open there is closed.
///
/// # Errors
/// When `number` is beyond the limit.
pub fn move_to(descriptor: OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: dup3 gives `number` to the new descriptor, which the result owns; callers choose a number that no
    // owner in this process holds.
    let moved = unsafe { libc::dup3(std::os::fd::AsRawFd::as_raw_fd(&descriptor), number, libc::O_CLOEXEC) };
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// Descriptors open in this process, by number.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn open_numbers() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            numbers.push(number);
        }
    }
    // The directory's own descriptor is among them and is closed by now.
    // SAFETY: F_GETFD only reads the flags of a number.
    numbers.retain(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0);
    numbers.sort_unstable();
    Ok(numbers)
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: RawFd) {
    let first = libc::c_uint::try_from(first).unwrap_or(0);
    // SAFETY: the caller is a zone's entry that has taken over what it needs below `first`; nothing owns the rest.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}
