//! The client against a scripted keeper.

use std::{collections::BTreeMap, path::Path};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    task::JoinHandle,
};

use super::*;
use crate::{model::status::Phase, wire};

/// Answers one request with `answer` and returns the request as text; the stream stays open with it.
fn keeper(socket: &Path, answer: Vec<u8>) -> JoinHandle<(String, UnixStream)> {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !complete(&request) {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the request ends early");
        }
        stream.write_all(&answer).await.unwrap();
        (String::from_utf8(request).unwrap(), stream)
    })
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn json(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

const RUNNING: &str = r#"{"name":"dev","id":"0123456789ab","agent":"shell","phase":"running"}"#;

fn request() -> ExecRequest {
    ExecRequest {
        version: wire::VERSION,
        argv: vec!["true".to_owned()],
        env: BTreeMap::new(),
        working_dir: None,
        user: None,
        tty: None,
        stdin: false,
    }
}

#[tokio::test]
async fn asks_for_the_status() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let keeper = keeper(&socket, json("200 OK", RUNNING));
    let status = Client::new(&socket).status().await.unwrap();
    assert_eq!((status.name.as_str(), status.phase), ("dev", Phase::Running));
    assert!(keeper.await.unwrap().0.starts_with("GET /v1/status HTTP/1.1\r\n"));
}

#[tokio::test]
async fn stop_names_its_grace() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let keeper = keeper(&socket, json("200 OK", &RUNNING.replace("running", "stopped")));
    let status = Client::new(&socket).stop(Duration::from_millis(1500)).await.unwrap();
    assert_eq!(status.phase, Phase::Stopped);
    let (request, _) = keeper.await.unwrap();
    assert!(request.starts_with("POST /v1/stop ") && request.ends_with(r#"{"grace_ms":1500}"#), "{request}");
}

#[tokio::test]
async fn a_socket_without_a_keeper_means_not_running() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let client = Client::new(&socket);
    assert!(matches!(client.status().await, Err(ClientError::NotRunning)), "no socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(matches!(client.status().await, Err(ClientError::NotRunning)), "nobody listens");
}

#[tokio::test]
async fn a_refusal_keeps_its_kind_and_code() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let body =
        r#"{"code":"mount_denied","kind":"denied","message":"no","hint":"ask","causes":["rule floor.ssh"]}"#;
    let _keeper = keeper(&socket, json("403 Forbidden", body));
    let failure = Failure::from(Client::new(&socket).reload_policy().await.unwrap_err());
    assert_eq!((failure.code(), failure.exit_code()), ("mount_denied", 4));
    assert_eq!(failure.object().causes, ["rule floor.ssh"]);
}

#[tokio::test]
async fn answers_of_another_form_are_failures() {
    let endless = format!("\"{}\"", "x".repeat(ANSWER_MAX));
    let cases = [
        json("200 OK", "{}"),
        json("200 OK", &endless),
        json("500 Internal Server Error", "oops"),
        json("400 Bad Request", r#"{"code":1}"#),
    ];
    for (index, answer) in cases.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _keeper = keeper(&socket, answer);
        assert!(matches!(Client::new(&socket).status().await, Err(ClientError::Answer(_))), "case {index}");
    }
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let _keeper = keeper(&socket, b"\x16\x03\x01not http".to_vec());
    assert!(matches!(Client::new(&socket).status().await, Err(ClientError::Broken(_))));
}

#[tokio::test]
async fn exec_upgrades_and_keeps_the_bytes_that_came_early() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let mut answer =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: cofferdam-exec\r\n\r\n"
            .to_vec();
    answer.extend_from_slice(b"early\0");
    let keeper = keeper(&socket, answer);
    let mut exec = Client::new(&socket).exec(SessionKind::Task, &request()).await.unwrap();
    let (request, mut guest) = keeper.await.unwrap();
    assert!(request.starts_with("POST /v1/exec HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nconnection: upgrade\r\n"), "{request}");
    assert!(request.contains("\r\nupgrade: cofferdam-exec\r\n"), "{request}");
    assert!(request.contains("\r\ncofferdam-session: task\r\n"), "{request}");
    guest.write_all(b"late").await.unwrap();
    drop(guest);
    let mut all = exec.early.to_vec();
    exec.stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"early\0late");
}

#[tokio::test]
async fn exec_without_the_upgrade_is_a_failure() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for answer in [json("200 OK", RUNNING), other.into()] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _keeper = keeper(&socket, answer);
        assert!(matches!(
            Client::new(&socket).exec(SessionKind::Task, &request()).await,
            Err(ClientError::Answer(_))
        ));
    }
}

#[test]
fn only_our_own_and_roots_sockets_are_trusted() {
    assert!(is_trusted(1000, 1000));
    assert!(is_trusted(0, 1000));
    assert!(!is_trusted(1001, 1000));
    assert!(!is_trusted(1000, 0), "root does not obey a user's socket");
}
