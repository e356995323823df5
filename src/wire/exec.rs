//! A command in the guest: one stream each.
//!
//! After [`ExecRequest`] and [`ExecReply`] (both [frames](super::frame)), each direction carries packets: one byte
//! of kind, a little-endian `u32` length, then at most [`PACKET_MAX`] bytes. Standard input has a window of its
//! own (the guest grants bytes with [`Packet::Window`]; [`STDIN_WINDOW`] to begin with), so that a program that
//! does not read never blocks the signals and window sizes that follow.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};

/// Largest payload of a packet, in bytes.
pub const PACKET_MAX: usize = 64 * 1024;
/// Bytes of standard input that the host may send before the guest grants more.
pub const STDIN_WINDOW: u32 = 1024 * 1024;
/// Bytes of a packet's header.
pub const HEADER_LENGTH: usize = 5;

/// Starts a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecRequest {
    /// Protocol version of the host.
    pub version: u16,
    /// Program and arguments; the program is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Added to the boot environment, key by key.
    pub env: BTreeMap<String, String>,
    /// Working directory; default: the agent's.
    pub working_dir: Option<String>,
    /// `agent` (default), `root`, another user of the guest, or a numeric uid.
    pub user: Option<String>,
    /// A terminal of this size; `None`: three pipes.
    pub tty: Option<TtySize>,
    /// Whether standard input will be sent; else it is `/dev/null`.
    pub stdin: bool,
}

/// Size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtySize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// The guest's answer to an [`ExecRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ExecReply {
    /// The program runs.
    Started {
        /// Process id in the guest.
        pid: u32,
    },
    /// It does not, with the code a shell would give: 127 not found, 126 not executable, 125 anything else.
    Failed {
        /// Exit code for the caller.
        code: u8,
        /// Why, for a person.
        message: String,
    },
}

/// What follows, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Host to guest: bytes of standard input.
    Stdin(Vec<u8>),
    /// Host to guest: standard input has ended.
    StdinEnd,
    /// Host to guest: the terminal has a new size.
    Resize(TtySize),
    /// Host to guest: a signal by its Linux number, to the command's process group.
    Signal(u8),
    /// Guest to host: bytes of standard output (of the terminal, when there is one).
    Stdout(Vec<u8>),
    /// Guest to host: bytes of standard error.
    Stderr(Vec<u8>),
    /// Guest to host: so many more bytes of standard input may be sent.
    Window(u32),
    /// Guest to host, last: ended with this code (128 + signal when a signal ended it).
    Exit(u8),
}

impl Packet {
    /// Kind of [`Packet::Exit`].
    pub const EXIT: u8 = 19;

    /// The packet's bytes, header included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdin(data) => with_header(0, data),
            Self::StdinEnd => with_header(1, &[]),
            Self::Resize(size) => {
                let mut body = [0; 4];
                body[..2].copy_from_slice(&size.rows.to_le_bytes());
                body[2..].copy_from_slice(&size.cols.to_le_bytes());
                with_header(2, &body)
            }
            Self::Signal(number) => with_header(3, &[*number]),
            Self::Stdout(data) => with_header(16, data),
            Self::Stderr(data) => with_header(17, data),
            Self::Window(bytes) => with_header(18, &bytes.to_le_bytes()),
            Self::Exit(code) => with_header(Self::EXIT, &[*code]),
        }
    }

    /// Kind and body length from a header, refused above [`PACKET_MAX`].
    ///
    /// # Errors
    /// When the body would be longer than [`PACKET_MAX`].
    pub fn decode_header(header: [u8; HEADER_LENGTH]) -> io::Result<(u8, usize)> {
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length > PACKET_MAX { Err(invalid("packet too long")) } else { Ok((header[0], length)) }
    }

    /// The packet of this kind and body.
    ///
    /// # Errors
    /// When the kind is unknown or the body does not have its form.
    pub fn decode(kind: u8, body: Vec<u8>) -> io::Result<Self> {
        Ok(match (kind, body.as_slice()) {
            (0, _) => Self::Stdin(body),
            (1, []) => Self::StdinEnd,
            (2, &[r0, r1, c0, c1]) => Self::Resize(TtySize {
                rows: u16::from_le_bytes([r0, r1]),
                cols: u16::from_le_bytes([c0, c1]),
            }),
            (3, &[number]) => Self::Signal(number),
            (16, _) => Self::Stdout(body),
            (17, _) => Self::Stderr(body),
            (18, &[a, b, c, d]) => Self::Window(u32::from_le_bytes([a, b, c, d])),
            (Self::EXIT, &[code]) => Self::Exit(code),
            _ => return Err(invalid("packet of unknown kind or form")),
        })
    }
}

fn with_header(kind: u8, body: &[u8]) -> Vec<u8> {
    debug_assert!(body.len() <= PACKET_MAX, "callers send at most PACKET_MAX bytes at once");
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + body.len());
    bytes.push(kind);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
