//! DNS by UDP.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::in_guest;
use crate::{net::dns_message::tests::query, wire::StreamKind};

/// The next question on the host's stream.
pub async fn read_question(host: &mut UnixStream) -> Vec<u8> {
    let length = host.read_u16().await.unwrap();
    let mut question = vec![0; length.into()];
    host.read_exact(&mut question).await.unwrap();
    question
}

/// An answer to it, told apart by its last byte.
pub fn answer_to(question: &[u8], mark: u8) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer.push(mark);
    [&(answer.len() as u16).to_be_bytes()[..], &answer].concat()
}

async fn asker(address: &str) -> tokio::net::UdpSocket {
    let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = tokio::net::UdpSocket::bind(any).await.unwrap();
    // A connected socket takes answers from that address only, as resolvers do.
    socket.connect(address).await.unwrap();
    socket
}

#[test]
fn questions_to_any_address_share_one_stream_and_answers_return_from_there() {
    in_guest(16, |egress| async move {
        let addresses = ["198.18.0.1:53", "8.8.8.8:53", "127.0.0.53:53", "[2001:4860::8888]:53", "[::1]:53"];
        let mut askers = Vec::new();
        for address in addresses {
            let socket = asker(address).await;
            // All with one id: the forwarder must keep them apart.
            socket.send(&query(7, "a.example")).await.unwrap();
            askers.push(socket);
        }
        let (header, mut host) = egress.accept().await;
        assert_eq!(header.kind, StreamKind::Dns);
        let mut questions = Vec::new();
        for _ in addresses {
            questions.push(read_question(&mut host).await);
        }
        // Backwards, in pieces: order and boundaries mean nothing.
        let mut answers: Vec<u8> =
            questions.iter().rev().flat_map(|question| answer_to(question, question[1])).collect();
        let rest = answers.split_off(5);
        host.write_all(&answers).await.unwrap();
        tokio::task::yield_now().await;
        host.write_all(&rest).await.unwrap();
        for (socket, question) in askers.iter().zip(&questions) {
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!((buffer[..2].to_vec(), buffer[length - 1]), (vec![0, 7], question[1]));
        }
    });
}

#[test]
fn b12_only_questions_are_forwarded_and_forged_answers_are_dropped() {
    in_guest(16, |egress| async move {
        let socket = asker("198.18.0.1:53").await;
        socket.send(b"tunnel through port 53, please").await.unwrap();
        socket.send(&[0xff; 2000]).await.unwrap();
        socket.send(&query(1, "good.example")).await.unwrap();
        let (_, mut host) = egress.accept().await;
        let question = read_question(&mut host).await;
        assert_eq!(question[12..], query(1, "good.example")[12..]);
        let mut forged = answer_to(&question, 1);
        forged[3] ^= 0xff;
        host.write_all(&forged).await.unwrap();
        host.write_all(&answer_to(&question, 2)).await.unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await.unwrap();
        assert_eq!(buffer[length - 1], 2);
    });
}

#[test]
fn a_question_survives_a_host_that_restarts() {
    in_guest(16, |egress| async move {
        let socket = asker("198.18.0.1:53").await;
        socket.send(&query(3, "a.example")).await.unwrap();
        let (_, mut host) = egress.accept().await;
        let first = read_question(&mut host).await;
        drop(host);
        let (_, mut host) = egress.accept().await;
        let second = read_question(&mut host).await;
        assert_eq!(first, second);
        host.write_all(&answer_to(&second, 9)).await.unwrap();
        let mut buffer = [0; 512];
        assert!(socket.recv(&mut buffer).await.unwrap() > 12);
    });
}

#[test]
fn a_silent_host_is_a_server_failure_after_a_while() {
    in_guest(16, |egress| async move {
        let socket = asker("198.18.0.1:53").await;
        socket.send(&query(3, "a.example")).await.unwrap();
        let _host = egress.accept().await;
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await.unwrap();
        assert_eq!((buffer[3] & 0x0f, length), (2, query(3, "a.example").len()));
    });
}
