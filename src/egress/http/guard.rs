//! The framing of HTTP/1 requests, held to one reading before any parser sees them.
//!
//! `hyper` accepts some requests that another server may read differently (two `Transfer-Encoding`, a dropped
//! `Content-Length`, several `Host`). This reader lets bytes through only as far as they are unambiguous, and ends
//! the stream at the first byte that is not. Chunk extensions are refused and trailers dropped: nothing needs them.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::egress::{
    faults::{Check, Faults},
    io::BoxIo,
    limits::HEAD_BYTES,
};

use super::head::{Body, Violation, field, head_end, parse_head};

/// Longest line of a chunk's size, in bytes.
const SIZE_LINE: usize = 32;
/// Trailers that are read to be dropped, in bytes.
const TRAILER_BYTES: usize = 8 * 1024;
/// Read at once, in bytes.
const CHUNK: usize = 16 * 1024;

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Sized(u64),
    Size,
    Data(u64),
    DataEnd,
    Trailer(usize),
}

/// The reader.
pub(crate) struct Guard {
    inner: BoxIo,
    /// Bytes that have not been understood yet.
    raw: Vec<u8>,
    /// Bytes that may be read.
    clean: Vec<u8>,
    taken: usize,
    state: State,
    ended: bool,
    violation: Arc<OnceLock<Violation>>,
    faults: Faults,
}

impl Guard {
    /// Around a stream.
    pub fn new(inner: BoxIo, faults: Faults) -> Self {
        Self {
            inner,
            raw: Vec::new(),
            clean: Vec::new(),
            taken: 0,
            state: State::Head,
            ended: false,
            violation: Arc::default(),
            faults,
        }
    }

    /// Where the first violation will stand.
    pub fn violation(&self) -> Arc<OnceLock<Violation>> {
        self.violation.clone()
    }

    /// The stream, for the answer to a violation.
    pub fn into_inner(self) -> BoxIo {
        self.inner
    }

    /// Takes one step on the raw bytes; `false` when it needs more of them.
    fn step(&mut self) -> Result<bool, Violation> {
        match self.state {
            State::Head => self.head(),
            State::Sized(left) => Ok(self.data(left, State::Head, State::Sized)),
            State::Data(left) => Ok(self.data(left, State::DataEnd, State::Data)),
            State::Size => self.size(),
            State::DataEnd if self.raw.len() < 2 => Ok(false),
            State::DataEnd if !self.raw.starts_with(b"\r\n") => Err(Violation::Chunk),
            State::DataEnd => {
                self.pass(2);
                self.state = State::Size;
                Ok(true)
            }
            State::Trailer(read) => self.trailer(read),
        }
    }

    fn head(&mut self) -> Result<bool, Violation> {
        let Some(end) = head_end(&self.raw) else {
            let bare_line_feed = self.raw.iter().enumerate().any(|(at, byte)| {
                *byte == b'\n' && at.checked_sub(1).is_none_or(|before| self.raw[before] != b'\r')
            });
            return match self.raw.len() > HEAD_BYTES {
                true => Err(Violation::TooLong),
                false if bare_line_feed => Err(Violation::Line),
                false => Ok(false),
            };
        };
        if end > HEAD_BYTES {
            return Err(Violation::TooLong);
        }
        let head = parse_head(&self.raw[..end])?;
        if head.host.is_none() {
            return Err(Violation::Host);
        }
        self.pass(end);
        self.state = match head.body {
            Body::Sized(0) => State::Head,
            Body::Sized(length) => State::Sized(length),
            Body::Chunked => State::Size,
        };
        Ok(true)
    }

    fn data(&mut self, left: u64, after: State, more: fn(u64) -> State) -> bool {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.raw.len());
        self.pass(count);
        let left = left - count as u64;
        self.state = if left == 0 { after } else { more(left) };
        count > 0
    }

    fn size(&mut self) -> Result<bool, Violation> {
        let Some(end) = self.raw.windows(2).position(|window| window == b"\r\n") else {
            return if self.raw.len() > SIZE_LINE { Err(Violation::Chunk) } else { Ok(false) };
        };
        let digits = &self.raw[..end];
        if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Violation::Chunk);
        }
        let text = std::str::from_utf8(digits).map_err(|_| Violation::Chunk)?;
        let size = u64::from_str_radix(text, 16).map_err(|_| Violation::Chunk)?;
        self.pass(end + 2);
        self.state = if size == 0 { State::Trailer(0) } else { State::Data(size) };
        Ok(true)
    }

    fn trailer(&mut self, read: usize) -> Result<bool, Violation> {
        let Some(end) = self.raw.windows(2).position(|window| window == b"\r\n") else {
            return if self.raw.len() > TRAILER_BYTES { Err(Violation::Chunk) } else { Ok(false) };
        };
        if end == 0 {
            self.pass(2);
            self.state = State::Head;
            return Ok(true);
        }
        let read = read + end;
        if read > TRAILER_BYTES || field(&self.raw[..end]).is_err() {
            return Err(Violation::Chunk);
        }
        self.raw.drain(..end + 2);
        self.state = State::Trailer(read);
        Ok(true)
    }

    fn pass(&mut self, count: usize) {
        self.clean.extend(self.raw.drain(..count));
    }

    fn take(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let left = &self.clean[self.taken..];
        if left.is_empty() {
            return false;
        }
        let count = left.len().min(out.remaining());
        out.put_slice(&left[..count]);
        self.taken += count;
        if self.taken == self.clean.len() {
            self.clean.clear();
            self.taken = 0;
        }
        true
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.faults.skips(Check::Framing) {
            return Pin::new(&mut this.inner).poll_read(context, out);
        }
        loop {
            if this.take(out) || this.violation.get().is_some() {
                return Poll::Ready(Ok(()));
            }
            match this.step() {
                Ok(true) => continue,
                Ok(false) if this.ended => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(violation) => {
                    let _first = this.violation.set(violation);
                    continue;
                }
            }
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            this.ended = read.filled().is_empty();
            this.raw.extend_from_slice(read.filled());
        }
    }
}

impl AsyncWrite for Guard {
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
