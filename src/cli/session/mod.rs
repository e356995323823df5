//! A command in the guest, seen from the terminal that started it.
//!
//! Three flows run side by side: the guest's packets to our output, our input to the guest within the window that
//! it grants, and signals and window sizes, which overtake input. Blocking reads and writes of our own streams
//! happen on threads: they may be shared with other programs, so they cannot be made non-blocking.
//!
//! ```text
//! stdin thread ──▶ pending chunk ─┐ window                    ┌─▶ output thread ──▶ stdout, stderr
//!                                 ├──▶ guest ──▶ packets ─────┤
//! signals, sizes ──▶ control ─────┘                           └─▶ window, exit code
//! ```
//!
//! The guest is hostile: a packet is bounded by `wire`, an answer by the frame limit, and there is never more than
//! a few packets in memory, however fast it sends.

mod local;
mod relay;
pub mod terminal;

use std::{cell::Cell, time::Duration};

use tokio::sync::mpsc;

use super::client::ExecStream;
use crate::wire::exec::{Packet, TtySize};

pub use self::local::{Counts, Input, Output};

/// How long a command has to end after the signal that a timeout sends.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);
/// A second interrupt within this time ends the session, whatever the command makes of the signal.
const INTERRUPT_TWICE: Duration = Duration::from_secs(1);
/// Exit code of a timeout, as `timeout(1)` has it.
pub const CODE_TIMEOUT: u8 = 124;
/// Exit code where we failed, not the command.
pub const CODE_OURS: u8 = 125;

/// What the terminal or the operating system tells the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A signal, by its Linux number.
    Signal(u8),
    /// The terminal has a new size.
    Resize(TtySize),
    /// The terminal has gone.
    HungUp,
}

/// Everything that a session needs.
pub struct Session {
    /// The guest.
    pub guest: ExecStream,
    /// Our standard input, when it is passed on.
    pub input: Option<Input>,
    /// Our standard output and error.
    pub output: Output,
    /// Signals and sizes.
    pub events: mpsc::Receiver<Event>,
    /// Ends the command after this time.
    pub timeout: Option<Duration>,
}

/// Why a session has no exit code of the command.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The program does not run.
    #[error("the command was not started in the sandbox: {message}")]
    NotStarted {
        /// 126, 127 or 125, as in a shell.
        code: u8,
        /// The guest's words.
        message: String,
    },
    /// The stream ended early.
    #[error("the connection to the sandbox ended before the command did")]
    Cut(#[source] std::io::Error),
    /// The guest does not speak the protocol.
    #[error("the sandbox's answer is not that of an exec server")]
    Protocol(#[source] std::io::Error),
    /// Our output takes no more.
    #[error("standard output takes no more")]
    Output(#[source] std::io::Error),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The command ended with this code.
    Command(u8),
    /// The time was up.
    TimedOut,
    /// Two interrupts, or the terminal has gone; the guest ends the command when it sees the stream close.
    Left(u8),
}

impl Session {
    /// Runs the session to its end. What the guest sent before the end is written when this returns.
    ///
    /// # Errors
    /// As in [`SessionError`].
    pub async fn run(self) -> Result<Ended, SessionError> {
        let control = relay::Control::default();
        let (mut reader, writer) = relay::split(self.guest);
        let (output, written) = self.output.spawn();
        relay::started(&mut reader).await?;
        let receive = relay::receive(reader, &control, output, written);
        let send = relay::send(writer, &control, self.input.map(Input::spawn));
        let late = Cell::new(false);
        let deadline = deadline(self.timeout, &control, &late);
        let events = events(self.events, &control);
        tokio::select! {
            biased;
            code = receive => code.map(|code| if late.get() { Ended::TimedOut } else { Ended::Command(code) }),
            ended = events => Ok(ended),
            ended = deadline => Ok(ended),
            () = send => unreachable!("sending goes on until the session is dropped"),
        }
    }
}

async fn deadline(timeout: Option<Duration>, control: &relay::Control, late: &Cell<bool>) -> Ended {
    match timeout {
        None => std::future::pending().await,
        Some(timeout) => {
            tokio::time::sleep(timeout).await;
            late.set(true);
            control.push(Packet::Signal(local::SIGTERM));
            tokio::time::sleep(TIMEOUT_GRACE).await;
            Ended::TimedOut
        }
    }
}

async fn events(mut events: mpsc::Receiver<Event>, control: &relay::Control) -> Ended {
    let mut interrupted: Option<tokio::time::Instant> = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Resize(size) => control.push(Packet::Resize(size)),
            Event::HungUp => return Ended::Left(128 + local::SIGHUP),
            Event::Signal(number) => {
                if number == local::SIGINT {
                    let now = tokio::time::Instant::now();
                    if interrupted.is_some_and(|last| now - last < INTERRUPT_TWICE) {
                        return Ended::Left(128 + local::SIGINT);
                    }
                    interrupted = Some(now);
                }
                control.push(Packet::Signal(number));
            }
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
