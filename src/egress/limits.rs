//! Every bound of this process in one place, and the token bucket that holds rates.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Open streams of one sandbox. A browser or a package client opens tens; a thousand is a flood.
pub(crate) const STREAMS: usize = 1024;
/// From a stream's start to its header.
pub(crate) const HEADER_TIME: Duration = Duration::from_secs(10);
/// From a stream's header to the first bytes of a client that may speak first.
pub(crate) const FIRST_BYTES_TIME: Duration = Duration::from_secs(10);
/// The same where nothing but a denial can follow: clients of server-first protocols shall fail soon.
pub(crate) const DENIED_BYTES_TIME: Duration = Duration::from_secs(3);
/// A TLS handshake, either side.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// One connection attempt upstream.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A name's resolution.
pub(crate) const LOOKUP_TIME: Duration = Duration::from_secs(8);
/// From the end of a response, or a connection's start, to the end of the next request's head.
pub(crate) const REQUEST_HEAD_TIME: Duration = Duration::from_secs(60);
/// How long a closed connection may take to disappear when a policy forbids it.
pub(crate) const CLOSE_TIME: Duration = Duration::from_secs(1);
/// A request's head, in bytes.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;
/// Header fields of one message.
pub(crate) const HEADER_FIELDS: usize = 256;
/// A ClientHello with its fragments, in bytes.
pub(crate) const HELLO_BYTES: usize = 64 * 1024;
/// Body of a denied request that is read before the answer, so that the client gets to read it, in bytes.
pub(crate) const DENIED_BODY_BYTES: usize = 256 * 1024;
/// A DNS query: one question and EDNS fit many times, in bytes.
pub(crate) const DNS_QUERY_BYTES: usize = 1024;
/// DNS queries per second, and at once.
pub(crate) const DNS_RATE: (f64, f64) = (200.0, 400.0);
/// Leaves for denied names per second, and at once.
pub(crate) const DENIED_LEAF_RATE: (f64, f64) = (20.0, 100.0);
/// Events about reached limits: one in ten seconds says enough.
pub(crate) const LIMIT_EVENT_RATE: (f64, f64) = (0.1, 1.0);
/// Text of a guest in an event, in bytes.
pub(crate) const EVENT_TEXT_BYTES: usize = 2048;

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    state: Mutex<(Instant, f64)>,
}

impl Bucket {
    /// Full, with (tokens per second, tokens at once).
    pub fn new((per_second, burst): (f64, f64)) -> Self {
        Self { per_second, burst, state: Mutex::new((Instant::now(), burst)) }
    }

    /// Takes a token, if there is one.
    pub fn take(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let grown = now.duration_since(state.0).as_secs_f64() * self.per_second;
        let tokens = (state.1 + grown).min(self.burst);
        let taken = tokens >= 1.0;
        *state = (now, if taken { tokens - 1.0 } else { tokens });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_runs_dry() {
        let bucket = Bucket::new((0.001, 2.0));
        assert!(bucket.take() && bucket.take() && !bucket.take());
    }
}
