//! For fuzzing: what a guest says is read by the readers that egress has for it, however a network cuts it.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{faults::Faults, http::guard::Guard, intercept};

/// A stream that says its bytes, so many at a time, and ends; what it hears is lost.
struct Said {
    bytes: Vec<u8>,
    taken: usize,
    cut: usize,
}

impl Said {
    fn new(bytes: &[u8], cut: usize) -> Box<Self> {
        Box::new(Self { bytes: bytes.to_vec(), taken: 0, cut: cut.max(1) })
    }
}

impl AsyncRead for Said {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.bytes[self.taken..];
        let count = left.len().min(self.cut).min(out.remaining());
        out.put_slice(&left[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Said {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What is done at once: nothing here waits.
fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Requests as far as their framing has one meaning, and why it ends before the last byte, if it does.
#[must_use]
pub fn requests(bytes: &[u8], cut: usize) -> Option<(Vec<u8>, Option<String>)> {
    let mut guard = Guard::new(Said::new(bytes, cut), Faults::default());
    let violation = guard.violation();
    let mut clean = Vec::new();
    now(guard.read_to_end(&mut clean))?.ok()?;
    Some((clean, violation.get().map(ToString::to_string)))
}

/// The name in the ClientHello that the bytes begin with: none where it holds none, or where there is no ClientHello.
#[must_use]
pub fn client_hello(bytes: &[u8], cut: usize) -> Option<Option<String>> {
    Some(now(intercept::parse(Said::new(bytes, cut)))??.sni)
}
