//! Pseudo-terminals: one per command that wants one.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{Gid, Mode, Uid, fchmod, fchown},
    io::fcntl_setfd,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize},
};

use crate::wire::TtySize;

/// Group `tty` in every distribution; `write` and its like need the terminal to belong to it.
const TTY_GROUP: u32 = 5;

/// Opens a terminal of this size that belongs to `uid`: our side and the program's.
///
/// # Errors
/// When the kernel has no terminal left.
pub fn open(size: TtySize, uid: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    // openpt may not honour CLOEXEC on every kernel; a terminal that leaks never reports its end.
    fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    if rustix::process::geteuid().is_root() {
        fchown(&theirs, Some(Uid::from_raw(uid)), Some(Gid::from_raw(TTY_GROUP)))?;
        fchmod(&theirs, Mode::from_raw_mode(0o620))?;
    }
    resize(&ours, size)?;
    Ok((ours, theirs))
}

/// Changes the size; the kernel sends SIGWINCH to the foreground group by itself.
///
/// # Errors
/// When the terminal is gone.
pub fn resize(ours: impl std::os::fd::AsFd, size: TtySize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(ours, size)?)
}

/// The character that means "end of input" on this terminal now.
pub fn end_of_input(ours: impl std::os::fd::AsFd) -> u8 {
    const CONTROL_D: u8 = 4;
    tcgetattr(ours).map_or(CONTROL_D, |attributes| attributes.special_codes[SpecialCodeIndex::VEOF])
}
