//! How the machine ends: in order, or with one line that says why not.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{WaitOptions, wait},
    system::{RebootCommand, reboot},
};

use crate::{
    boot::Sealed,
    sys::signals::{Signals, signal_everyone},
};

/// Time for programs to end by themselves.
const TERM_GRACE: Duration = Duration::from_secs(3);
/// Time for the kernel to bury what was killed.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// One line on the console, which the host keeps as the machine's log.
pub fn say(line: &str) {
    let text = format!("cofferdam-guest: {line}\n");
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(text.as_bytes());
        let _ = rustix::termios::tcdrain(&console);
    } else {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// The one line that says why, then the end: the host must see an end and never a hang.
pub fn fatal(why: &str) -> io::Result<()> {
    say(&format!("fatal: {}", why.replace('\n', " ")));
    rustix::fs::sync();
    Ok(reboot(RebootCommand::PowerOff)?)
}

/// Ends every process, makes the disks clean, and switches off. Returns only when that fails.
///
/// # Errors
/// When the kernel refuses.
pub fn power_off(signals: &Signals, disks: &Sealed) -> io::Result<()> {
    for (number, grace) in [(libc::SIGTERM, TERM_GRACE), (libc::SIGKILL, KILL_GRACE)] {
        // A shell at a terminal ignores TERM and heeds HUP; what is stopped must run to end.
        for number in [number, libc::SIGHUP, libc::SIGCONT] {
            signal_everyone(number);
        }
        bury_all(signals, Instant::now() + grace)?;
    }
    disks.close();
    Ok(reboot(RebootCommand::PowerOff)?)
}

/// Reaps until no process is left or the moment has come.
fn bury_all(signals: &Signals, moment: Instant) -> io::Result<()> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => continue,
            Err(_) => return Ok(()),
            Ok(None) if Instant::now() >= moment => return Ok(()),
            Ok(None) => {}
        }
        poll_until(&mut [PollFd::new(signals, PollFlags::IN)], Some(moment))?;
        while signals.next()?.is_some() {}
    }
}

/// Waits for an event or a moment; a signal of the poll itself is no event.
pub fn poll_until(fds: &mut [PollFd<'_>], moment: Option<Instant>) -> io::Result<()> {
    let left = moment.map(|moment| moment.saturating_duration_since(Instant::now()));
    let timeout =
        left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
