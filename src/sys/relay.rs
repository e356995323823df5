//! Joins two byte streams. Not tokio's copy in both directions: that ends at the first error, and with it goes the answer
//! of a server that answers early and closes while its client still sends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// Bytes on their way in one direction: a full virtio-vsock packet.
const BUFFER: usize = 64 * 1024;

/// Carries both directions until both have ended. A side that takes no more ends only the direction towards it.
///
/// # Errors
/// When a stream breaks: what it would still have said is lost, and the caller may want to tell the other side.
pub async fn join(left: impl AsyncRead + AsyncWrite, right: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let ((mut left_in, mut left_out), (mut right_in, mut right_out)) = (split(left), split(right));
    let there = one_way(&mut left_in, &mut right_out);
    let back = one_way(&mut right_in, &mut left_out);
    tokio::try_join!(there, back).map(drop)
}

async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        let taken = match length {
            0 => to.shutdown().await,
            _ => {
                async {
                    to.write_all(&buffer[..length]).await?;
                    to.flush().await
                }
                .await
            }
        };
        if length == 0 || taken.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, copy_bidirectional, duplex};

    use super::*;

    /// A server that has answered and gone while its client still sends: the client, and the ends to be joined.
    async fn early() -> [DuplexStream; 3] {
        let (mut client, to_client) = duplex(64);
        let (mut server, to_server) = duplex(64);
        server.write_all(b"413").await.unwrap();
        drop(server);
        client.write_all(b"a long request").await.unwrap();
        [client, to_client, to_server]
    }

    #[tokio::test]
    async fn an_early_answer_arrives_though_nobody_takes_the_rest_of_the_request() {
        let [mut client, to_client, to_server] = early().await;
        let joined = tokio::spawn(join(to_client, to_server));
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "413");
        drop(client);
        joined.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_usual_copy_would_lose_it() {
        let [mut client, mut to_client, mut to_server] = early().await;
        copy_bidirectional(&mut to_client, &mut to_server).await.unwrap_err();
        drop(to_client);
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "");
    }

    #[tokio::test]
    async fn each_direction_ends_on_its_own() {
        let ((mut client, to_client), (mut server, to_server)) = (duplex(64), duplex(64));
        let joined = tokio::spawn(join(to_client, to_server));
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "questionanswer");
        joined.await.unwrap().unwrap();
    }
}
