//! Byte streams: one type for all of them, put-back of bytes that were looked at, and what the first byte tells.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A byte stream of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// An owned byte stream of any kind.
pub(crate) type BoxIo = Box<dyn Io>;

/// A stream whose first bytes have been read already and are read again.
pub(crate) struct Prefixed<S> {
    prefix: Vec<u8>,
    taken: usize,
    inner: S,
}

impl<S> Prefixed<S> {
    /// `prefix`, then the stream.
    pub fn new(prefix: Vec<u8>, inner: S) -> Self {
        Self { prefix, taken: 0, inner }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken < self.prefix.len() {
            let count = out.remaining().min(self.prefix.len() - self.taken);
            out.put_slice(&self.prefix[self.taken..self.taken + count]);
            self.taken += count;
            if self.taken == self.prefix.len() {
                self.prefix = Vec::new();
                self.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// What a client's first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// A TLS handshake record.
    Tls,
    /// A letter, as every HTTP method begins.
    Http,
    /// Something else.
    Other,
    /// The client has closed without a word.
    Closed,
}

/// Waits for the first bytes and puts them back.
///
/// # Errors
/// When the stream fails.
pub(crate) async fn sniff(mut stream: BoxIo) -> io::Result<(First, BoxIo)> {
    let mut bytes = vec![0; 4096];
    let count = stream.read(&mut bytes).await?;
    bytes.truncate(count);
    let first = match bytes.first() {
        None => First::Closed,
        Some(0x16) => First::Tls,
        Some(byte) if byte.is_ascii_uppercase() && looks_like_http(&bytes) => First::Http,
        Some(_) => First::Other,
    };
    Ok((first, Box::new(Prefixed::new(bytes, stream))))
}

/// Distinguishes `GET /` from banners such as `SSH-2.0-…`: a method is letters, then one space. A method that has
/// not arrived whole gets the benefit of the doubt; the HTTP parser refuses what it turns out not to be.
fn looks_like_http(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| !byte.is_ascii_uppercase());
    match end.map(|end| bytes[end]) {
        None => bytes.len() <= 32,
        Some(byte) => byte == b' ',
    }
}
