//! Carries one exec session between a command of the host and the guest.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, sink, split};

/// Bytes on their way in one direction.
const BUFFER: usize = 128 * 1024;

/// How long the guest has to end a command whose client is gone. One that does not has no session to be busy with.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Carries both directions until the guest has said its last, or the client is gone; `heard` is told what the guest says.
///
/// A guest may end, and close, while the client still sends. What it said before that, the exit code above all, must
/// reach the client; so an error towards the guest ends nothing.
pub(super) async fn relay(
    client: impl AsyncRead + AsyncWrite,
    guest: impl AsyncRead + AsyncWrite,
    heard: impl FnMut(&[u8]),
) {
    relay_within(END_LIMIT, client, guest, heard).await;
}

async fn relay_within(
    end_limit: Duration,
    client: impl AsyncRead + AsyncWrite,
    guest: impl AsyncRead + AsyncWrite,
    heard: impl FnMut(&[u8]),
) {
    let ((mut from_client, mut to_client), (mut from_guest, mut to_guest)) = (split(client), split(guest));
    let up = async {
        // The client is gone, or its bytes have no taker: the guest hears of the end in either case.
        let _ = copy(&mut from_client, &mut to_guest, |_| {}).await;
        let _ = to_guest.shutdown().await;
        // Bytes without a taker are nobody's; their end is the client's.
        let _ = copy(&mut from_client, &mut sink(), |_| {}).await;
        tokio::time::sleep(end_limit).await;
    };
    let down = async {
        let _ = copy(&mut from_guest, &mut to_client, heard).await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut heard: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            length => {
                heard(&buffer[..length]);
                to.write_all(&buffer[..length]).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{copy_bidirectional, duplex};

    use super::*;

    /// Both ends of a session whose client sends a last word to a guest that has said its own and closed.
    async fn crossed() -> [tokio::io::DuplexStream; 3] {
        let (mut client, to_client) = duplex(64);
        let (mut guest, to_guest) = duplex(64);
        guest.write_all(b"exit 0").await.unwrap();
        drop(guest);
        client.write_all(b"end of input").await.unwrap();
        [client, to_client, to_guest]
    }

    #[tokio::test]
    async fn the_guests_last_word_arrives_though_it_hears_no_more() {
        let [mut client, to_client, to_guest] = crossed().await;
        relay(to_client, to_guest, |_| {}).await;
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "exit 0");
    }

    /// Why this is not tokio's copy in both directions: that ends at the first error.
    #[tokio::test]
    async fn the_usual_copy_would_lose_it() {
        let [mut client, mut to_client, mut to_guest] = crossed().await;
        copy_bidirectional(&mut to_client, &mut to_guest).await.unwrap_err();
        drop(to_client);
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "");
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_the_guests_input() {
        let (client, to_client) = duplex(64);
        let (mut guest, to_guest) = duplex(64);
        let serving = tokio::spawn(relay(to_client, to_guest, |_| {}));
        drop(client);
        let mut heard = Vec::new();
        guest.read_to_end(&mut heard).await.unwrap();
        drop(guest);
        serving.await.unwrap();
    }

    /// A guest that does not end a command whose client is gone keeps no session open by that.
    #[tokio::test]
    async fn a_guest_holds_no_session_of_a_client_that_is_gone() {
        let (client, to_client) = duplex(64);
        let (_silent, to_guest) = duplex(64);
        let serving = relay_within(Duration::ZERO, to_client, to_guest, |_| {});
        let serving = tokio::spawn(serving);
        drop(client);
        serving.await.unwrap();
    }
}
