//! What the keeper itself has done in the guest: a command, a file, a note. Answers are hostile: bounded, and believed in
//! no more than what they say about the guest's own disk.

use std::io;

use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::UnixStream};

use super::{frames, guest_link::GuestLink};
use crate::wire::{
    ExecReply, ExecRequest, FileReply, FileRequest, Packet,
    exec::HEADER_LENGTH,
    frame::{GUEST_FRAME_MAX, HOST_FRAME_MAX},
    port,
};

/// A command that runs in the guest. Dropped, it is ended there.
pub(super) struct Command(UnixStream);

/// Why a command has no exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// It was not started.
    #[error("it was not started: {0}")]
    NotStarted(String),
    /// The guest went away, or does not keep to the protocol.
    #[error("the guest does not answer: {0}")]
    Guest(#[from] io::Error),
}

impl Command {
    /// Starts it.
    pub(super) async fn start(guest: &GuestLink, request: &ExecRequest) -> Result<Self, CommandError> {
        let mut stream = guest.dial(port::GUEST_EXEC).await?;
        frames::write(&mut stream, request, HOST_FRAME_MAX).await?;
        match frames::read(&mut stream, GUEST_FRAME_MAX).await? {
            Some(ExecReply::Started { .. }) => Ok(Self(stream)),
            Some(ExecReply::Failed { message, .. }) => Err(CommandError::NotStarted(message)),
            None => Err(CommandError::Guest(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Its exit code; `output` sees what it writes until then.
    pub(super) async fn end(&mut self, mut output: impl FnMut(&[u8])) -> Result<u8, CommandError> {
        loop {
            let mut header = [0; HEADER_LENGTH];
            self.0.read_exact(&mut header).await?;
            let (kind, length) = Packet::decode_header(header)?;
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await?;
            match Packet::decode(kind, body)? {
                Packet::Stdout(bytes) | Packet::Stderr(bytes) => output(&bytes),
                Packet::Exit(code) => return Ok(code),
                Packet::Window(_) => {}
                _ => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            }
        }
    }
}

/// Asks the guest's server of files; `content` is that of the file.
pub(super) async fn file(
    guest: &GuestLink,
    request: &FileRequest,
    content: &[u8],
) -> io::Result<Option<String>> {
    let mut stream = guest.dial(port::GUEST_FILES).await?;
    frames::write(&mut stream, request, HOST_FRAME_MAX).await?;
    stream.write_all(content).await?;
    match frames::read(&mut stream, GUEST_FRAME_MAX).await? {
        Some(FileReply::Done) => Ok(None),
        Some(FileReply::Note { text }) => Ok(text),
        Some(FileReply::Failed { message }) => Err(io::Error::other(message)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
