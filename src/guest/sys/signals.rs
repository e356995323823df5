//! Signals as something to wait for beside descriptors: signalfd(2).

use std::{
    io, mem,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
};

use super::check;

/// A set of signals that is blocked in this thread and arrives through a descriptor instead.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `numbers` and begins to collect them. Call it before the process has a second thread.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn block(numbers: &[i32]) -> io::Result<Self> {
        // SAFETY: sigset_t is plain old data; sigemptyset initialises it before any other use.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `set` is live and ours.
        unsafe { libc::sigemptyset(&raw mut set) };
        for number in numbers {
            // SAFETY: `set` is initialised; an invalid number is refused without effect.
            check(unsafe { libc::sigaddset(&raw mut set, *number) })?;
        }
        // SAFETY: `set` is initialised, and no old mask is asked for.
        check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
        // SAFETY: `set` is initialised.
        let fd =
            check(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The number of the next signal that has arrived, if any.
    ///
    /// # Errors
    /// When the descriptor fails.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut bytes = [0; mem::size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut bytes) {
            // ssi_signo is the first field.
            Ok(length) if length >= 4 => {
                Ok(Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as i32))
            }
            Ok(_) => Ok(None),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `number` to the process group `group`. Nobody there is no error: the group may just have ended.
pub fn signal_group(group: u32, number: i32) {
    let Ok(group) = i32::try_from(group) else { return };
    if group > 1 {
        // SAFETY: no pointer is passed; the guard keeps 0 and 1, which mean "everyone", out.
        unsafe { libc::kill(-group, number) };
    }
}

/// Sends `number` to every process but the caller's and PID 1 (kill(2) with −1).
pub fn signal_everyone(number: i32) {
    // SAFETY: no pointer is passed.
    unsafe { libc::kill(-1, number) };
}

/// Sends `number` to one process.
#[cfg(test)]
pub fn signal_process(pid: u32, number: i32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if pid > 1 {
        // SAFETY: no pointer is passed.
        unsafe { libc::kill(pid, number) };
    }
}

/// Ignores a signal in this process.
#[cfg(test)]
pub fn ignore(signal: rustix::process::Signal) {
    // SAFETY: no handler of ours is installed for it in a test.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_IGN) };
}
