//! The two directions of a session's stream.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
};

use hyper::body::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Chain},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{Notify, mpsc, oneshot},
};

use super::{
    SessionError,
    local::{Chunk, Sink},
};
use crate::{
    cli::client::ExecStream,
    wire::{
        exec::{ExecReply, HEADER_LENGTH, PACKET_MAX, Packet, STDIN_WINDOW},
        frame,
    },
};

/// Longest message of the guest that is shown, in characters.
const MESSAGE_MAX: usize = 1000;

/// What the sending side must know of everything else. One thread owns it, so cells do.
pub(super) struct Control {
    window: Cell<u64>,
    urgent: RefCell<VecDeque<Packet>>,
    wake: Notify,
}

impl Default for Control {
    fn default() -> Self {
        Self { window: Cell::new(STDIN_WINDOW.into()), urgent: RefCell::default(), wake: Notify::new() }
    }
}

impl Control {
    /// Sends `packet` before any further input.
    pub(super) fn push(&self, packet: Packet) {
        self.urgent.borrow_mut().push_back(packet);
        self.wake.notify_one();
    }

    fn grant(&self, bytes: u32) {
        self.window.set(self.window.get().saturating_add(bytes.into()));
        self.wake.notify_one();
    }
}

/// The guest's side of the stream, what came early included.
pub(super) type GuestReader = BufReader<Chain<io::Cursor<Bytes>, OwnedReadHalf>>;

pub(super) fn split(guest: ExecStream) -> (GuestReader, OwnedWriteHalf) {
    let (reader, writer) = guest.stream.into_split();
    let reader = AsyncReadExt::chain(io::Cursor::new(guest.early), reader);
    (BufReader::with_capacity(HEADER_LENGTH + PACKET_MAX, reader), writer)
}

/// Reads the guest's answer to the request.
pub(super) async fn started(reader: &mut (impl AsyncRead + Unpin)) -> Result<(), SessionError> {
    let mut header = [0; 4];
    reader.read_exact(&mut header).await.map_err(SessionError::Cut)?;
    let length = frame::body_length(header, frame::GUEST_FRAME_MAX).map_err(SessionError::Protocol)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.map_err(SessionError::Cut)?;
    match frame::decode(&body).map_err(SessionError::Protocol)? {
        ExecReply::Started { .. } => Ok(()),
        ExecReply::Failed { code, message } => {
            // A guest that says "failed with 0" would turn a failure into a success.
            let code = if code == 0 { super::CODE_OURS } else { code };
            Err(SessionError::NotStarted { code, message: message.chars().take(MESSAGE_MAX).collect() })
        }
    }
}

/// Reads packets until the command has ended and all that it wrote is out.
pub(super) async fn receive(
    mut reader: impl AsyncRead + Unpin,
    control: &Control,
    output: mpsc::Sender<(Sink, Vec<u8>)>,
    mut written: oneshot::Receiver<io::Result<()>>,
) -> Result<u8, SessionError> {
    loop {
        let (sink, data) = match packet(&mut reader).await? {
            Packet::Stdout(data) => (Sink::Stdout, data),
            Packet::Stderr(data) => (Sink::Stderr, data),
            Packet::Window(bytes) => {
                control.grant(bytes);
                continue;
            }
            Packet::Exit(code) => {
                drop(output);
                return outcome(written.await).map(|()| code);
            }
            Packet::Stdin(_) | Packet::StdinEnd | Packet::Resize(_) | Packet::Signal(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "a packet that only the host sends");
                return Err(SessionError::Protocol(error));
            }
        };
        if output.send((sink, data)).await.is_err() {
            return Err(match outcome((&mut written).await) {
                Err(error) => error,
                Ok(()) => SessionError::Output(io::ErrorKind::BrokenPipe.into()),
            });
        }
    }
}

fn outcome(written: Result<io::Result<()>, oneshot::error::RecvError>) -> Result<(), SessionError> {
    match written {
        Ok(result) => result.map_err(SessionError::Output),
        Err(_) => Err(SessionError::Output(io::Error::other("the thread that writes it has ended"))),
    }
}

async fn packet(reader: &mut (impl AsyncRead + Unpin)) -> Result<Packet, SessionError> {
    let mut header = [0; HEADER_LENGTH];
    reader.read_exact(&mut header).await.map_err(SessionError::Cut)?;
    let (kind, length) = Packet::decode_header(header).map_err(SessionError::Protocol)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.map_err(SessionError::Cut)?;
    Packet::decode(kind, body).map_err(SessionError::Protocol)
}

/// Sends input within the guest's window, and control packets before it, for as long as the session lives. A guest
/// that no longer reads ends nothing: it may still have output and an exit code for us.
pub(super) async fn send(
    mut writer: impl AsyncWrite + Unpin,
    control: &Control,
    input: Option<mpsc::Receiver<Chunk>>,
) {
    let Err(_closed) = send_all(&mut writer, control, input).await;
    std::future::pending().await
}

async fn send_all(
    writer: &mut (impl AsyncWrite + Unpin),
    control: &Control,
    mut input: Option<mpsc::Receiver<Chunk>>,
) -> io::Result<std::convert::Infallible> {
    let mut pending = Bytes::new();
    loop {
        let urgent = control.urgent.borrow_mut().pop_front();
        if let Some(packet) = urgent {
            writer.write_all(&packet.encode()).await?;
            continue;
        }
        let window = usize::try_from(control.window.get()).unwrap_or(usize::MAX);
        let length = pending.len().min(window);
        if length > 0 {
            control.window.set(control.window.get() - length as u64);
            stdin(writer, pending.split_to(length)).await?;
            continue;
        }
        let chunk = async {
            match &mut input {
                Some(chunks) if pending.is_empty() => chunks.recv().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = control.wake.notified() => {}
            chunk = chunk => if let Some(chunk) = chunk {
                pending = chunk.into();
            } else {
                input = None;
                writer.write_all(&Packet::StdinEnd.encode()).await?;
            },
        }
    }
}

/// Header and data in one system call, without a copy of the data.
async fn stdin(writer: &mut (impl AsyncWrite + Unpin), data: Bytes) -> io::Result<()> {
    debug_assert!(data.len() <= PACKET_MAX, "chunks are read with that limit");
    let mut header = [0; HEADER_LENGTH];
    header[1..].copy_from_slice(&(data.len() as u32).to_le_bytes());
    writer.write_all_buf(&mut Buf::chain(header.as_slice(), data)).await
}
