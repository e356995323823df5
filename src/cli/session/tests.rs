//! Sessions against a scripted guest.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::*;
use crate::wire::{
    exec::{ExecReply, HEADER_LENGTH, PACKET_MAX, STDIN_WINDOW},
    frame,
};

/// The guest's end of the stream.
struct Guest(UnixStream);

impl Guest {
    async fn reply(&mut self, reply: &ExecReply) {
        self.0.write_all(&frame::encode(reply, frame::GUEST_FRAME_MAX).unwrap()).await.unwrap();
    }

    async fn start(&mut self) {
        self.reply(&ExecReply::Started { pid: 7 }).await;
    }

    async fn send(&mut self, packet: Packet) {
        self.0.write_all(&packet.encode()).await.unwrap();
    }

    async fn next(&mut self) -> Packet {
        let mut header = [0; HEADER_LENGTH];
        self.0.read_exact(&mut header).await.unwrap();
        let (kind, length) = Packet::decode_header(header).unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Packet::decode(kind, body).unwrap()
    }
}

struct Ends {
    guest: Guest,
    stdin: Option<File>,
    stdout: File,
    stderr: File,
    events: mpsc::Sender<Event>,
}

fn pipe() -> (File, File) {
    let (reader, writer): (OwnedFd, OwnedFd) = rustix::pipe::pipe().unwrap();
    (reader.into(), writer.into())
}

fn new_session(with_input: bool) -> (Session, Ends) {
    let (ours, guest) = UnixStream::pair().unwrap();
    let (stdout, out) = pipe();
    let (stderr, err) = pipe();
    let (input, stdin) = if with_input {
        let (reader, writer) = pipe();
        (Some(Input::from_file(reader)), Some(writer))
    } else {
        (None, None)
    };
    let (sender, events) = mpsc::channel(16);
    let stream = ExecStream { stream: ours, early: hyper::body::Bytes::new() };
    let output = Output::from_files(out, err);
    let session = Session { guest: stream, input, output, events, timeout: None };
    (session, Ends { guest: Guest(guest), stdin, stdout, stderr, events: sender })
}

/// Every byte value, in an order without a short period.
fn noise(length: usize) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    let mut state = 1_u32;
    std::iter::from_fn(move || step(&mut state)).take(length).collect()
}

fn drain(mut file: File) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        all
    })
}

#[tokio::test]
async fn output_is_byte_exact_and_the_code_passes() {
    let (session, mut ends) = new_session(false);
    let (stdout, stderr) = (drain(ends.stdout), drain(ends.stderr));
    let data = noise(3 * PACKET_MAX + 1);
    let expected = data.clone();
    let guest = tokio::spawn(async move {
        ends.guest.start().await;
        for part in data.chunks(PACKET_MAX) {
            ends.guest.send(Packet::Stdout(part.to_vec())).await;
        }
        ends.guest.send(Packet::Stderr(b"\0\x1b[0m\xff".to_vec())).await;
        ends.guest.send(Packet::Exit(37)).await;
        drop(ends.events);
    });
    assert_eq!(session.run().await.unwrap(), Ended::Command(37));
    guest.await.unwrap();
    assert_eq!(stdout.join().unwrap(), expected);
    assert_eq!(stderr.join().unwrap(), b"\0\x1b[0m\xff");
}

#[tokio::test]
async fn input_stays_within_the_window_and_signals_overtake_it() {
    let (session, mut ends) = new_session(true);
    let data = noise(2 * STDIN_WINDOW as usize + 5);
    let expected = data.clone();
    let mut stdin = ends.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&data).unwrap());
    let script = async {
        ends.guest.start().await;
        let mut got = Vec::new();
        while got.len() < STDIN_WINDOW as usize {
            let Packet::Stdin(data) = ends.guest.next().await else { panic!("only input so far") };
            got.extend(data);
        }
        assert_eq!(got.len(), STDIN_WINDOW as usize, "not a byte more than was granted");
        // The window is used up: what comes next is the signal, though input waits.
        ends.events.send(Event::Signal(15)).await.unwrap();
        assert_eq!(ends.guest.next().await, Packet::Signal(15));
        ends.events.send(Event::Resize(TtySize { rows: 50, cols: 132 })).await.unwrap();
        assert_eq!(ends.guest.next().await, Packet::Resize(TtySize { rows: 50, cols: 132 }));

        ends.guest.send(Packet::Window(3)).await;
        assert_eq!(ends.guest.next().await, Packet::Stdin(expected[got.len()..got.len() + 3].to_vec()));
        got.extend_from_slice(&expected[got.len()..got.len() + 3]);
        ends.guest.send(Packet::Window(u32::MAX)).await;
        ends.guest.send(Packet::Window(u32::MAX)).await;
        loop {
            match ends.guest.next().await {
                Packet::Stdin(data) => got.extend(data),
                Packet::StdinEnd => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(got == expected, "input arrived changed");
        ends.guest.send(Packet::Exit(0)).await;
    };
    let (ended, ()) = tokio::join!(session.run(), script);
    assert_eq!(ended.unwrap(), Ended::Command(0));
    writer.join().unwrap();
}

/// The deliberate break: a guest that grants nothing gets nothing, so the check above can fail.
#[tokio::test]
async fn without_a_window_no_input_is_sent() {
    let control = relay::Control::default();
    let (ours, mut guest) = tokio::io::duplex(16 * PACKET_MAX * 2);
    let (sender, chunks) = mpsc::channel(64);
    for _ in 0..17 {
        sender.send(vec![7; PACKET_MAX]).await.unwrap();
    }
    let reading = async {
        let mut all = vec![0; STDIN_WINDOW as usize + 16 * HEADER_LENGTH];
        guest.read_exact(&mut all).await.unwrap();
        control.push(Packet::Signal(2));
        let mut next = [0; HEADER_LENGTH];
        guest.read_exact(&mut next).await.unwrap();
        next[0]
    };
    let kind = tokio::select! {
        kind = reading => kind,
        () = relay::send(ours, &control, Some(chunks)) => unreachable!(),
    };
    assert_eq!(kind, 3, "the seventeenth chunk lies beyond the window");
}

#[tokio::test]
async fn a_program_that_does_not_run_gives_the_shells_code() {
    for (code, expected) in [(127, 127), (126, 126), (0, CODE_OURS)] {
        let (session, mut ends) = new_session(false);
        ends.guest.reply(&ExecReply::Failed { code, message: "no such file".repeat(1000) }).await;
        match session.run().await {
            Err(SessionError::NotStarted { code, message }) => {
                assert_eq!(code, expected);
                assert!(message.len() <= 1000);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_hostile_guest_ends_the_session_not_the_client() {
    let packets: [(&str, Vec<u8>); 5] = [
        ("packet too long", vec![16, 1, 0, 1, 0]),
        ("unknown kind", vec![99, 0, 0, 0, 0]),
        ("exit without a code", vec![19, 0, 0, 0, 0]),
        ("a packet of ours", Packet::StdinEnd.encode()),
        ("a packet of ours", Packet::Signal(9).encode()),
    ];
    for (what, bytes) in packets {
        let (session, mut ends) = new_session(false);
        ends.guest.start().await;
        ends.guest.0.write_all(&bytes).await.unwrap();
        assert!(matches!(session.run().await, Err(SessionError::Protocol(_))), "{what}");
    }
    let (session, mut ends) = new_session(false);
    ends.guest.0.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    assert!(matches!(session.run().await, Err(SessionError::Protocol(_))), "frame too long");
    let (session, mut ends) = new_session(false);
    ends.guest.start().await;
    drop(ends.guest);
    assert!(matches!(session.run().await, Err(SessionError::Cut(_))), "end without an exit code");
}

#[tokio::test]
async fn a_timeout_ends_the_command_and_is_told_apart() {
    let (mut session, mut ends) = new_session(false);
    session.timeout = Some(Duration::from_millis(1));
    let script = async {
        ends.guest.start().await;
        assert_eq!(ends.guest.next().await, Packet::Signal(15));
        ends.guest.send(Packet::Exit(143)).await;
    };
    let (ended, ()) = tokio::join!(session.run(), script);
    assert_eq!(ended.unwrap(), Ended::TimedOut);
}

#[tokio::test]
async fn two_interrupts_leave_and_one_does_not() {
    let (session, mut ends) = new_session(false);
    let script = async {
        ends.guest.start().await;
        ends.events.send(Event::Signal(2)).await.unwrap();
        assert_eq!(ends.guest.next().await, Packet::Signal(2));
        ends.events.send(Event::Signal(2)).await.unwrap();
    };
    let (ended, ()) = tokio::join!(session.run(), script);
    assert_eq!(ended.unwrap(), Ended::Left(130));
}

#[tokio::test]
async fn a_reader_that_has_gone_ends_the_session() {
    let (session, mut ends) = new_session(false);
    drop(ends.stdout);
    ends.guest.start().await;
    ends.guest.send(Packet::Stdout(b"x".to_vec())).await;
    ends.guest.send(Packet::Exit(0)).await;
    match session.run().await {
        Err(SessionError::Output(error)) => assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
}
