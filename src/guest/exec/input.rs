//! From the host to the command: standard input, and what must never wait behind it.

use std::{collections::VecDeque, io, sync::Arc};

use tokio::sync::{Mutex, Notify};

use super::{output::Outgoing, session::Running, terminal};
use crate::{
    stream::Stream,
    sys::signals::signal_group,
    wire::{
        Packet,
        exec::{HEADER_LENGTH, STDIN_WINDOW},
    },
};

/// Bytes consumed before the host is told: often enough to keep it busy, rarely enough to cost nothing.
const GRANT_STEP: u32 = STDIN_WINDOW / 4;

/// Standard input that has come and is not written yet. The window bounds it.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Vec<u8>>,
    ended: bool,
    /// Bytes that the host may still send, complement: sent and not yet granted again.
    outstanding: u32,
}

/// Reads packets until the stream ends, which means that the host is gone.
///
/// # Errors
/// When the host breaks the protocol or the stream breaks.
pub async fn receive(stream: &Stream, queue: &Queue, running: &Running) -> io::Result<()> {
    let mut header = [0; HEADER_LENGTH];
    loop {
        stream.read_exact(&mut header).await?;
        let (kind, length) = Packet::decode_header(header)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        match Packet::decode(kind, body)? {
            Packet::Stdin(data) => queue.push(data).await?,
            Packet::StdinEnd => queue.end().await,
            Packet::Signal(number) if (1..=64).contains(&number) => {
                signal_group(running.pid, i32::from(number));
            }
            Packet::Resize(size) => {
                if let Some(ours) = &running.terminal {
                    let _ = terminal::resize(ours.as_ref(), size);
                }
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "packet in the wrong direction")),
        }
    }
}

impl Queue {
    async fn push(&self, data: Vec<u8>) -> io::Result<()> {
        let mut state = self.state.lock().await;
        state.outstanding = state.outstanding.saturating_add(data.len() as u32);
        if state.outstanding > STDIN_WINDOW {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "standard input beyond its window"));
        }
        if !state.ended && !data.is_empty() {
            state.chunks.push_back(data);
            self.changed.notify_one();
        }
        Ok(())
    }

    async fn end(&self) {
        self.state.lock().await.ended = true;
        self.changed.notify_one();
    }

    /// The next chunk; `None` once input has ended and all is taken.
    async fn next(&self) -> Option<Vec<u8>> {
        loop {
            {
                let mut state = self.state.lock().await;
                if let Some(chunk) = state.chunks.pop_front() {
                    return Some(chunk);
                }
                if state.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

/// Writes what has come to the command and grants the room again. Ends with the input.
pub async fn feed(
    queue: &Queue,
    stdin: Option<Arc<Stream>>,
    is_terminal: bool,
    out: &Outgoing,
) -> io::Result<()> {
    let mut stdin = stdin;
    let mut consumed: u32 = 0;
    while let Some(chunk) = queue.next().await {
        // A command that has closed its input: the rest goes nowhere, but the host must not wait for room.
        if let Some(open) = &stdin
            && open.write_all(&chunk).await.is_err()
        {
            stdin = None;
        }
        consumed += chunk.len() as u32;
        if consumed >= GRANT_STEP {
            queue.state.lock().await.outstanding -= consumed;
            out.send(&Packet::Window(consumed)).await?;
            consumed = 0;
        }
    }
    if let (true, Some(open)) = (is_terminal, &stdin) {
        let _ = open.write_all(&[terminal::end_of_input(open.as_ref())]).await;
    }
    // Dropping the last reference closes a pipe: that is the command's end of input.
    Ok(())
}
