//! Bytes that nobody looks into: allowed `tcp` rules, and TLS that a rule passes through unopened.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use crate::policy::{Permit, explain::place};

use super::{
    audit::{Attempt, allow, unreached},
    io::BoxIo,
    shared::Shared,
};

/// Per direction, in bytes: a full virtio-vsock packet.
const BUFFER: usize = 64 * 1024;

/// Dials what the permit names and joins both streams; each direction ends on its own.
pub(crate) async fn relay(shared: &Shared, guest: BoxIo, permit: Permit, attempt: &Attempt) {
    let dialled = shared.upstream.tcp(&permit).await;
    let draft = match &dialled {
        Ok(_) => allow(attempt, "rule_allows", permit.rule()),
        Err(error) => unreached(attempt, error, permit.rule()),
    };
    if shared.control.event(draft).await.is_err() {
        return;
    }
    if let Ok(upstream) = dialled {
        tracing::debug!(to = place(permit.target(), permit.port()), "relaying");
        join(guest, upstream).await;
    }
}

/// Joins two streams until both have said their last, or one of them is gone.
///
/// A server may answer early and hear no more. What it said must arrive, so a direction whose bytes have no taker ends
/// alone; tokio's own copy in both directions would drop the other one too.
async fn join(left: impl AsyncRead + AsyncWrite + Send, right: impl AsyncRead + AsyncWrite + Send) {
    let ((mut from_left, mut to_left), (mut from_right, mut to_right)) = (split(left), split(right));
    let mut there: Pin<Box<dyn Future<Output = Source> + Send>> =
        Box::pin(carry(&mut from_left, &mut to_right));
    let mut back: Pin<Box<dyn Future<Output = Source> + Send>> =
        Box::pin(carry(&mut from_right, &mut to_left));
    let (first, rest) = tokio::select! {
        end = &mut there => (end, &mut back),
        end = &mut back => (end, &mut there),
    };
    // Whose connection broke can be told nothing either.
    if first == Source::Ended {
        rest.await;
    }
}

/// What became of the side that was read.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// It said its last, or its bytes have no taker: the other direction goes on.
    Ended,
    /// Its connection broke.
    Gone,
}

async fn carry(
    from: &mut (impl AsyncRead + Unpin + Send),
    to: &mut (impl AsyncWrite + Unpin + Send),
) -> Source {
    let mut buffer = vec![0; BUFFER];
    let ended = loop {
        match from.read(&mut buffer).await {
            Ok(0) => break Source::Ended,
            Ok(length) if to.write_all(&buffer[..length]).await.is_ok() => {}
            Ok(_) => break Source::Ended,
            Err(_) => break Source::Gone,
        }
    };
    // A sink that is gone needs no end.
    let _closed = to.shutdown().await;
    ended
}

#[cfg(test)]
mod tests {
    use tokio::io::{copy_bidirectional, duplex};

    use super::*;

    #[tokio::test]
    async fn the_servers_last_word_arrives_though_it_hears_no_more() {
        let (mut guest, left) = duplex(64);
        let (mut server, right) = duplex(64);
        server.write_all(b"421 go away").await.unwrap();
        drop(server);
        guest.write_all(b"hello?").await.unwrap();
        let joined = tokio::spawn(join(left, right));
        let mut heard = String::new();
        guest.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "421 go away");
        drop(guest);
        joined.await.unwrap();
    }

    /// Why this is not tokio's copy in both directions: that ends at the first error.
    #[tokio::test]
    async fn the_usual_copy_would_lose_it() {
        let (mut guest, mut left) = duplex(64);
        let (mut server, mut right) = duplex(64);
        server.write_all(b"421 go away").await.unwrap();
        drop(server);
        guest.write_all(b"hello?").await.unwrap();
        copy_bidirectional(&mut left, &mut right).await.unwrap_err();
        drop(left);
        let mut heard = String::new();
        guest.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "");
    }

    #[tokio::test]
    async fn each_side_may_end_first_and_still_listen() {
        let (mut guest, left) = duplex(64);
        let (mut server, right) = duplex(64);
        let joined = tokio::spawn(join(left, right));
        guest.write_all(b"question").await.unwrap();
        guest.shutdown().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        guest.read_to_string(&mut answer).await.unwrap();
        assert_eq!((heard.as_str(), answer.as_str()), ("question", "answer"));
        joined.await.unwrap();
    }
}
