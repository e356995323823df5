//! The local terminal of an interactive session: raw while it lasts, as it was afterwards, whichever way it ends.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, Once, PoisonError},
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::Event;
use crate::wire::exec::TtySize;

/// Size that a terminal has which does not know its own.
const DEFAULT_SIZE: TtySize = TtySize { rows: 24, cols: 80 };
/// Signals that are passed on to the command.
const FORWARDED: [SignalKind; 4] =
    [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
/// Events that wait for the session; a signal more is dropped, as the kernel drops a pending one.
const EVENT_QUEUE: usize = 16;

/// What to put back, for the panic hook: with `panic = "abort"` no destructor runs.
static RESTORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// The terminal in raw mode; dropping it puts the former mode back.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Makes `terminal` raw.
    ///
    /// # Errors
    /// When it is no terminal, or refuses.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let former = tcgetattr(terminal)?;
        let mut raw = former.clone();
        raw.make_raw();
        let copy = terminal.try_clone_to_owned()?;
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                next(info);
            }));
        });
        *RESTORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((copy, former));
        let mode = Self(());
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // `try_lock`: the panic may have come while the lock was held.
    if let Ok(mut state) = RESTORE.try_lock()
        && let Some((terminal, former)) = state.take()
    {
        let _ = tcsetattr(&terminal, OptionalActions::Now, &former);
    }
}

/// The size of `terminal`, or a usual one.
#[must_use]
pub fn size(terminal: impl AsFd) -> TtySize {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => TtySize { rows: size.ws_row, cols: size.ws_col },
        _ => DEFAULT_SIZE,
    }
}

/// The signals of this process, and with `terminal` its new sizes, as events. Must be called on a runtime; from then
/// on the signals no longer end the process.
///
/// # Errors
/// When a handler cannot be installed.
pub fn events(terminal: Option<OwnedFd>) -> io::Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
    let interactive = terminal.is_some();
    for kind in FORWARDED {
        let mut signals = signal(kind)?;
        let sender = sender.clone();
        // Their numbers are 1, 2, 3 and 15.
        let number = u8::try_from(kind.as_raw_value()).unwrap_or(super::local::SIGTERM);
        let hung_up = interactive && kind == SignalKind::hangup();
        let event = if hung_up { Event::HungUp } else { Event::Signal(number) };
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _ = sender.try_send(event);
            }
        });
    }
    if let Some(terminal) = terminal {
        let mut changes = signal(SignalKind::window_change())?;
        tokio::spawn(async move {
            while changes.recv().await.is_some() {
                let _ = sender.try_send(Event::Resize(size(&terminal)));
            }
        });
    }
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{
        pty::{OpenptFlags, openpt, unlockpt},
        termios::LocalModes,
    };

    fn pty() -> (OwnedFd, OwnedFd) {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&main).unwrap();
        let name = rustix::pty::ptsname(&main, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let other = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        (main, other)
    }

    fn is_raw(terminal: &OwnedFd) -> bool {
        !tcgetattr(terminal).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// One test: what is to be restored is the process's, as its terminal is.
    #[test]
    fn the_terminal_is_put_back_however_the_session_ends() {
        let (_main, terminal) = pty();
        assert!(!is_raw(&terminal));
        let raw = RawMode::enter(terminal.as_fd()).unwrap();
        assert!(is_raw(&terminal));
        drop(raw);
        assert!(!is_raw(&terminal), "after a return");

        let result = std::panic::catch_unwind(|| {
            let _raw = RawMode::enter(terminal.as_fd()).unwrap();
            panic!("in the middle of a session");
        });
        assert!(result.is_err() && !is_raw(&terminal), "after a panic that unwinds");

        // A panic that aborts runs the hook and no destructor: forget the guard, then run the hook.
        std::mem::forget(RawMode::enter(terminal.as_fd()).unwrap());
        assert!(is_raw(&terminal), "the break: nothing but the hook puts it back");
        assert!(std::panic::catch_unwind(|| panic!("the hook runs before anything unwinds")).is_err());
        assert!(!is_raw(&terminal), "after a panic that aborts");

        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert!(RawMode::enter(reader.as_fd()).is_err());
        assert_eq!(size(&reader), DEFAULT_SIZE);
    }
}
