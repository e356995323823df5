//! Frames of the wire protocol over asynchronous streams: a `u32` length, then JSON.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::wire::frame;

/// Reads one frame of at most `max` bytes; `None` when the stream ends between frames.
///
/// # Errors
/// When the stream fails, or the frame is too long or of another form.
pub(in crate::zones) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    let first = stream.read(&mut header[..1]).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[1..]).await?;
    let mut body = vec![0; frame::body_length(header, max)?];
    stream.read_exact(&mut body).await?;
    frame::decode(&body).map(Some)
}

/// Writes one frame of at most `max` bytes.
///
/// # Errors
/// When it is longer, or the stream fails.
pub(in crate::zones) async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
    max: usize,
) -> io::Result<()> {
    stream.write_all(&frame::encode(value, max)?).await?;
    stream.flush().await
}
