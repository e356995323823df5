//! QEMU's control protocol without input or output: bytes in, messages out; commands in, bytes out.
//!
//! QEMU counts as taken over by its guest, so what it says is bounded and believed in nothing but its own
//! state. Source: QEMU `docs/interop/qmp-spec.rst`. One JSON object per line:
//!
//! ```text
//! ◀ {"QMP": {…}}                       greeting
//! ▶ {"execute": "qmp_capabilities"}    nothing else is accepted before
//! ◀ {"return": {}}                     ready: commands go out in order, answers come in order, events between
//! ```

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use crate::model::text::visible;

/// Longest line; QEMU's own, without a schema query, stay below 16 KiB.
const LINE_LIMIT: usize = 64 * 1024;
/// Messages that wait to be taken; a peer that sends more than this while nobody looks is broken.
const WAITING_LIMIT: usize = 1024;
/// Text of an error or of an unknown event that is kept.
const TEXT_LIMIT: usize = 200;

/// What can be asked of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Ends the greeting.
    Negotiate,
    /// Answers with [`Reply::Status`].
    QueryStatus,
    /// Pauses the processors.
    Stop,
    /// Resumes them.
    Continue,
    /// Presses the power button; a guest without ACPI daemon ignores it.
    PowerDown,
    /// Ends QEMU.
    Quit,
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Self::Negotiate => "qmp_capabilities",
            Self::QueryStatus => "query-status",
            Self::Stop => "stop",
            Self::Continue => "cont",
            Self::PowerDown => "system_powerdown",
            Self::Quit => "quit",
        }
    }
}

/// Something that QEMU said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The answer to a command.
    Reply(Command, Reply),
    /// Something happened.
    Event(Event),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Whether the processors run, and QEMU's word for the state (`running`, `paused`, `io-error`, …).
    Status {
        /// The processors run.
        running: bool,
        /// QEMU's word.
        status: String,
    },
    /// Refused.
    Failed {
        /// Why, control characters made visible, cut.
        reason: String,
    },
}

/// Something that happened to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The machine ends.
    Shutdown {
        /// The guest did it: power-off, reboot, panic.
        by_guest: bool,
        /// QEMU's word: `guest-shutdown`, `guest-reset`, `guest-panic`, `host-qmp-quit`, …
        reason: String,
    },
    /// The processors were paused.
    Stopped,
    /// The processors run again.
    Resumed,
    /// The guest's kernel said that it panicked.
    GuestPanicked,
    /// A disk failed.
    DiskError {
        /// The host has no room; the machine is paused and `cont` tries again.
        no_space: bool,
    },
    /// Any other.
    Other(String),
}

/// Why the connection cannot go on. The machine should be ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QmpError {
    /// A line is longer than any of QEMU's.
    #[error("the machine's control socket sent a line of more than {LINE_LIMIT} bytes")]
    LongLine,
    /// Too many messages that nobody took.
    #[error("the machine's control socket sent more than {WAITING_LIMIT} messages at once")]
    Flood,
    /// Not the protocol.
    #[error("the machine's control socket sent something else than QMP: {0}")]
    Unexpected(String),
}

/// One connection's state.
#[derive(Debug, Default)]
pub struct Connection {
    line: Vec<u8>,
    greeted: bool,
    asked: VecDeque<Command>,
    messages: VecDeque<Message>,
}

impl Connection {
    /// A connection on which nothing has been said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes that ask for this. Before the greeting has been answered QEMU refuses everything but
    /// [`Command::Negotiate`], so send that first; there is no need to wait for the greeting.
    pub fn ask(&mut self, command: Command) -> Vec<u8> {
        self.asked.push_back(command);
        format!("{{\"execute\":\"{}\"}}\n", command.name()).into_bytes()
    }

    /// Takes what was read from the socket.
    ///
    /// # Errors
    /// When it is not QMP or exceeds a bound; the connection is then of no further use.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), QmpError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end])?;
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.take_line(&line)?;
        }
        self.keep(bytes)
    }

    /// The next message.
    pub fn next_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), QmpError> {
        if self.line.len() + part.len() > LINE_LIMIT {
            return Err(QmpError::LongLine);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), QmpError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let unexpected = || QmpError::Unexpected(cut(&String::from_utf8_lossy(line)));
        let message = match serde_json::from_slice::<Line>(line).map_err(|_| unexpected())? {
            Line { greeting: Some(_), .. } if !self.greeted => {
                self.greeted = true;
                return Ok(());
            }
            Line { event: Some(name), data, .. } if self.greeted => Message::Event(event(&name, &data)),
            Line { answer: Some(answer), .. } if self.greeted => {
                let command = self.asked.pop_front().ok_or_else(unexpected)?;
                Message::Reply(command, reply(command, &answer).ok_or_else(unexpected)?)
            }
            Line { error: Some(error), .. } if self.greeted => {
                let command = self.asked.pop_front().ok_or_else(unexpected)?;
                Message::Reply(command, Reply::Failed { reason: cut(text(&error, "desc")) })
            }
            _ => return Err(unexpected()),
        };
        if self.messages.len() == WAITING_LIMIT {
            return Err(QmpError::Flood);
        }
        self.messages.push_back(message);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Value>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
}

fn reply(command: Command, answer: &Value) -> Option<Reply> {
    if command != Command::QueryStatus {
        return Some(Reply::Done);
    }
    let running = answer.get("running")?.as_bool()?;
    Some(Reply::Status { running, status: cut(text(answer, "status")) })
}

fn event(name: &str, data: &Value) -> Event {
    let flag = |key| data.get(key).and_then(Value::as_bool).unwrap_or_default();
    match name {
        "SHUTDOWN" => Event::Shutdown { by_guest: flag("guest"), reason: cut(text(data, "reason")) },
        "STOP" => Event::Stopped,
        "RESUME" => Event::Resumed,
        "GUEST_PANICKED" => Event::GuestPanicked,
        "BLOCK_IO_ERROR" => Event::DiskError { no_space: flag("nospace") },
        other => Event::Other(cut(other)),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Short and harmless on a terminal.
fn cut(text: &str) -> String {
    let end = text.char_indices().nth(TEXT_LIMIT).map_or(text.len(), |(end, _)| end);
    visible(&text[..end]).into_owned()
}

#[cfg(test)]
#[path = "qmp_tests.rs"]
mod tests;
