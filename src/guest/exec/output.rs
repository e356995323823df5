//! From the command to the host: output, and after it the end.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    stream::Stream,
    wire::{
        Packet,
        exec::{HEADER_LENGTH, PACKET_MAX},
    },
};

/// How long after the command's end its output may stay open before it counts as complete. A daemon that the
/// command left behind may hold the pipe for ever; a `tee` behind a process substitution needs this moment.
/// What is in the pipe by then is always delivered.
pub const GRACE: Duration = Duration::from_millis(500);
/// What is read after the grace: at most what a pipe can hold (`fs.pipe-max-size`), so that a left-behind writer
/// cannot go on for ever.
const LAST_BYTES_MAX: usize = 1024 * 1024;

/// The stream's sending side: whole packets, one after the other.
#[derive(Debug)]
pub struct Outgoing {
    stream: Arc<Stream>,
    turn: Mutex<()>,
}

impl Outgoing {
    /// Sends on `stream`, of which nobody else may send.
    pub fn new(stream: Arc<Stream>) -> Self {
        Self { stream, turn: Mutex::new(()) }
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn send(&self, packet: &Packet) -> io::Result<()> {
        self.send_bytes(&packet.encode()).await
    }

    async fn send_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        self.stream.write_all(bytes).await
    }
}

/// Which of the two outputs.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// When the command ended, once it has.
pub type Ended = tokio::sync::watch::Receiver<Option<Instant>>;

/// Sends all output until its end, or until the grace after the command's end is over and the pipe is empty.
///
/// # Errors
/// When the stream is broken.
pub async fn pump(from: &Stream, kind: Kind, mut ended: Ended, out: &Outgoing) -> io::Result<()> {
    // One buffer for header and body, so that each packet is one write without a copy.
    let mut buffer = vec![0; HEADER_LENGTH + PACKET_MAX];
    buffer[0] = match kind {
        Kind::Stdout => Packet::Stdout(Vec::new()),
        Kind::Stderr => Packet::Stderr(Vec::new()),
    }
    .encode()[0];
    let mut last_bytes = 0;
    loop {
        let body = &mut buffer[HEADER_LENGTH..];
        let over = ended.borrow().is_some_and(|at| at + GRACE <= Instant::now());
        let read = if over { from.read_now(body) } else { from.try_read(body) };
        let length = match read {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && over => 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(from, &mut ended).await;
                continue;
            }
            // A terminal whose last program has gone reports EIO.
            Err(_) => 0,
        };
        last_bytes += if over { length } else { 0 };
        if length == 0 || last_bytes > LAST_BYTES_MAX {
            return Ok(());
        }
        buffer[1..HEADER_LENGTH].copy_from_slice(&(length as u32).to_le_bytes());
        out.send_bytes(&buffer[..HEADER_LENGTH + length]).await?;
    }
}

/// Waits for output, for the command's end, or for the end of the grace.
async fn wait(from: &Stream, ended: &mut Ended) {
    let at = *ended.borrow();
    match at {
        Some(at) => {
            let _ = timeout_at(at + GRACE, from.readable()).await;
        }
        None => {
            tokio::select! {
                _ = from.readable() => {}
                _ = ended.changed() => {}
            }
        }
    }
}
