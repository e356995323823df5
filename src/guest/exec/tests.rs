//! The exec server over unix sockets, with real processes.

use std::{collections::BTreeMap, os::unix::net::UnixStream, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::UnixListener, time::timeout};

use super::{Settings, accept_for_ever};
use crate::{
    handover::Handover,
    stream::{Listener, Stream},
    wire::{
        ExecReply, ExecRequest, Packet, TtySize, VERSION,
        exec::{HEADER_LENGTH, STDIN_WINDOW},
        frame::{GUEST_FRAME_MAX, HOST_FRAME_MAX},
    },
};

/// Far beyond what any of these tests takes: a hang becomes a failure.
const HANG: Duration = Duration::from_secs(60);

fn request(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        version: VERSION,
        argv: argv.iter().map(|&text| text.to_owned()).collect(),
        env: BTreeMap::new(),
        working_dir: Some("/".into()),
        user: Some(rustix::process::geteuid().as_raw().to_string()),
        tty: None,
        stdin: false,
    }
}

fn shell(script: &str) -> ExecRequest {
    request(&["sh", "-c", script])
}

fn with_stdin(script: &str) -> ExecRequest {
    ExecRequest { stdin: true, ..shell(script) }
}

fn with_tty(script: &str) -> ExecRequest {
    ExecRequest { tty: Some(TtySize { rows: 24, cols: 80 }), stdin: true, ..shell(script) }
}

/// Starts a server of this test's own and connects to it.
fn connect(name: &str, settings: Settings) -> Stream {
    let path: PathBuf = std::env::temp_dir().join(format!("cofferdam-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
    tokio::spawn(async move { accept_for_ever(&listener, Arc::new(settings)).await });
    let stream = Stream::new(UnixStream::connect(&path).unwrap().into()).unwrap();
    std::fs::remove_file(&path).unwrap();
    stream
}

async fn started(name: &str, request: &ExecRequest) -> (Stream, ExecReply) {
    let stream = connect(name, Settings { handover: Handover::default(), agent_procs: None });
    stream.write_frame(request, HOST_FRAME_MAX).await.unwrap();
    let reply = timeout(HANG, stream.read_frame(GUEST_FRAME_MAX)).await.unwrap().unwrap();
    (stream, reply)
}

async fn packet(stream: &Stream) -> Packet {
    let mut header = [0; HEADER_LENGTH];
    timeout(HANG, stream.read_exact(&mut header)).await.expect("a hang").unwrap();
    let (kind, length) = Packet::decode_header(header).unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Packet::decode(kind, body).unwrap()
}

/// What a command said: output, errors, exit code.
async fn finished(stream: &Stream) -> (Vec<u8>, Vec<u8>, u8) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match packet(stream).await {
            Packet::Stdout(data) => out.extend(data),
            Packet::Stderr(data) => err.extend(data),
            Packet::Exit(code) => return (out, err, code),
            _ => {}
        }
    }
}

async fn send(stream: &Stream, packet: Packet) {
    stream.write_all(&packet.encode()).await.unwrap();
}

/// Reads output until it contains `wanted`.
async fn until(stream: &Stream, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        match packet(stream).await {
            Packet::Stdout(data) => seen += &String::from_utf8_lossy(&data),
            Packet::Exit(code) => panic!("ended with {code} after {seen:?}"),
            _ => {}
        }
    }
    seen
}

#[tokio::test]
async fn output_errors_and_exit_code_arrive() {
    let (stream, reply) = started("plain", &shell("echo out; echo err >&2; exit 37")).await;
    assert!(matches!(reply, ExecReply::Started { pid } if pid > 1));
    assert_eq!(finished(&stream).await, (b"out\n".to_vec(), b"err\n".to_vec(), 37));
}

#[tokio::test]
async fn a_signal_is_an_exit_code_and_reaches_the_whole_group() {
    let (stream, _) = started("signal", &shell("sleep 1000 & echo ready; wait")).await;
    until(&stream, "ready").await;
    send(&stream, Packet::Signal(15)).await;
    let (_, _, code) = finished(&stream).await;
    assert_eq!(code, 128 + 15);
}

#[tokio::test]
async fn what_cannot_start_has_a_shells_code() {
    let failure = async |name: &str, request: &ExecRequest| match started(name, request).await.1 {
        ExecReply::Failed { code, message } => (code, message),
        ExecReply::Started { .. } => panic!("it started"),
    };
    assert_eq!(failure("missing", &request(&["no-such-program"])).await.0, 127);
    assert_eq!(failure("folder", &request(&["/etc"])).await.0, 126);
    assert_eq!(failure("plainfile", &request(&["/etc/passwd"])).await.0, 126);
    let nowhere = ExecRequest { working_dir: Some("/nowhere".into()), ..shell("true") };
    let (code, message) = failure("nowhere", &nowhere).await;
    assert_eq!(code, 125);
    assert!(message.contains("/nowhere"));
    let nobody = ExecRequest { user: Some("no-such-user".into()), ..shell("true") };
    assert!(failure("nobody", &nobody).await.1.contains("no-such-user"));
}

#[tokio::test]
async fn a_script_without_an_interpreter_runs_in_sh() {
    let path = std::env::temp_dir().join(format!("cofferdam-script-{}", std::process::id()));
    std::fs::write(&path, "echo script $1\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (stream, _) = started("script", &request(&[path.to_str().unwrap(), "one"])).await;
    assert_eq!(finished(&stream).await, (b"script one\n".to_vec(), vec![], 0));
    std::fs::remove_file(&path).unwrap();
}

/// All byte values, more than a window, back unchanged: nothing is interpreted, and the window is renewed.
#[tokio::test]
async fn stdin_is_binary_safe_and_larger_than_its_window() {
    let (stream, _) = started("cat", &with_stdin("cat")).await;
    let stream = Arc::new(stream);
    let sent: Vec<u8> =
        (0..8 * STDIN_WINDOW).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (grant, mut granted) = tokio::sync::mpsc::unbounded_channel();
    let writer = {
        let (stream, sent) = (Arc::clone(&stream), sent.clone());
        tokio::spawn(async move {
            let mut window = STDIN_WINDOW as usize;
            for chunk in sent.chunks(64 * 1024) {
                while window < chunk.len() {
                    window += granted.recv().await.unwrap();
                }
                window -= chunk.len();
                send(&stream, Packet::Stdin(chunk.to_vec())).await;
            }
            send(&stream, Packet::StdinEnd).await;
        })
    };
    let mut received = Vec::new();
    let code = loop {
        match packet(&stream).await {
            Packet::Stdout(data) => received.extend(data),
            Packet::Window(bytes) => drop(grant.send(bytes as usize)),
            Packet::Exit(code) => break code,
            other => panic!("{other:?}"),
        }
    };
    writer.await.unwrap();
    assert_eq!(code, 0);
    assert!(received == sent, "the bytes differ");
}

/// The program never reads; the signal behind a full window still arrives.
#[tokio::test]
async fn unread_stdin_does_not_hold_up_signals() {
    let (stream, _) = started("unread", &with_stdin("echo ready; sleep 1000")).await;
    until(&stream, "ready").await;
    for _ in 0..STDIN_WINDOW as usize / (64 * 1024) {
        send(&stream, Packet::Stdin(vec![0; 64 * 1024])).await;
    }
    send(&stream, Packet::Signal(9)).await;
    assert_eq!(finished(&stream).await.2, 128 + 9);
}

/// The break beside it: one byte beyond the window ends the command.
#[tokio::test]
async fn a_host_that_ignores_the_window_loses_the_stream() {
    let (stream, _) = started("overrun", &with_stdin("sleep 1000")).await;
    for _ in 0..=STDIN_WINDOW as usize / (64 * 1024) {
        if stream.write_all(&Packet::Stdin(vec![0; 64 * 1024]).encode()).await.is_err() {
            break;
        }
    }
    let mut rest = [0; 64];
    let ended = timeout(HANG, stream.read(&mut rest)).await.expect("a hang");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn stdin_that_the_program_has_closed_is_swallowed() {
    let (stream, _) = started("closed", &with_stdin("exec <&-; echo ready; sleep 0.2; echo done")).await;
    until(&stream, "ready").await;
    let mut window = STDIN_WINDOW as usize;
    for _ in 0..64 {
        while window < 64 * 1024 {
            if let Packet::Window(bytes) = packet(&stream).await {
                window += bytes as usize;
            }
        }
        window -= 64 * 1024;
        send(&stream, Packet::Stdin(vec![7; 64 * 1024])).await;
    }
    let (out, _, code) = finished(&stream).await;
    assert!(code == 0 && out.ends_with(b"done\n"));
}

#[tokio::test]
async fn without_stdin_the_program_reads_an_empty_file() {
    let (stream, _) = started("empty", &shell("wc -c")).await;
    let (out, _, code) = finished(&stream).await;
    assert_eq!((String::from_utf8(out).unwrap().trim(), code), ("0", 0));
}

/// A daemon keeps the pipe open; the command's end is reported all the same, with what was written by then.
#[tokio::test]
async fn a_daemon_left_behind_does_not_hold_the_exit() {
    let (stream, _) = started("daemon", &shell("(sleep 1000 & echo $!); echo bye; exit 5")).await;
    let (out, _, code) = finished(&stream).await;
    let out = String::from_utf8(out).unwrap();
    assert!(code == 5 && out.ends_with("bye\n"), "{code} {out:?}");
    let daemon: u32 = out.lines().next().unwrap().parse().unwrap();
    crate::sys::signals::signal_process(daemon, 9);
}

/// One that writes without end is cut off as well.
#[tokio::test]
async fn a_writer_left_behind_does_not_hold_the_exit() {
    let (stream, _) = started("yes", &shell("yes & echo $! >&2; exit 6")).await;
    let (_, err, code) = finished(&stream).await;
    assert_eq!(code, 6);
    let writer: u32 = String::from_utf8(err).unwrap().trim().parse().unwrap();
    crate::sys::signals::signal_process(writer, 9);
}

#[tokio::test]
async fn the_host_going_away_ends_the_command() {
    let (stream, reply) = started("gone", &shell("trap '' HUP; echo ready; while :; do sleep 1; done")).await;
    until(&stream, "ready").await;
    let ExecReply::Started { pid } = reply else { panic!("{reply:?}") };
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    drop(stream);
    timeout(HANG, Stream::only_awaited(pidfd).unwrap().readable()).await.expect("still there").unwrap();
}

#[tokio::test]
async fn a_terminal_is_one_and_follows_its_size() {
    let script = "tty; trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done";
    let (stream, _) = started("tty", &with_tty(script)).await;
    let seen = until(&stream, "ready").await;
    assert!(seen.contains("/dev/pts/") && seen.contains("24 80"), "{seen:?}");
    send(&stream, Packet::Resize(TtySize { rows: 50, cols: 132 })).await;
    until(&stream, "50 132").await;
    // Control-C through the line discipline, which only works on a controlling terminal.
    send(&stream, Packet::Stdin(vec![3])).await;
    assert_eq!(finished(&stream).await.2, 128 + 2);
}

#[tokio::test]
async fn the_end_of_input_on_a_terminal_is_its_end_character() {
    let (stream, _) = started("eof", &with_tty("cat; echo over")).await;
    send(&stream, Packet::Stdin(b"hello\n".to_vec())).await;
    send(&stream, Packet::StdinEnd).await;
    let (out, _, code) = finished(&stream).await;
    let out = String::from_utf8(out).unwrap();
    assert!(code == 0 && out.contains("hello") && out.trim_end().ends_with("over"), "{out:?}");
}

/// No descriptor of the server, of another command or of the terminal is open in a program: 0, 1, 2 and the
/// folder that `ls` reads.
#[tokio::test]
async fn e15_programs_inherit_no_descriptor() {
    let (stream, _) = started("fds", &request(&["ls", "/proc/self/fd"])).await;
    let (out, _, _) = finished(&stream).await;
    assert_eq!(String::from_utf8(out).unwrap(), "0\n1\n2\n3\n");
}

#[tokio::test]
async fn programs_start_with_default_signals() {
    // As under `nohup`, or in the background of a script.
    crate::sys::signals::ignore(rustix::process::Signal::INT);
    let (stream, _) =
        started("signals", &request(&["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"])).await;
    let out = String::from_utf8(finished(&stream).await.0).unwrap();
    for line in out.lines() {
        let set = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        // Signal 32 and above are the C library's and real-time ones.
        assert_eq!(set & 0x7fff_ffff, 0, "{out}");
    }
}

#[tokio::test]
async fn another_user_is_another_user() {
    let as_nobody = ExecRequest { user: Some("4242".into()), ..shell("id -u; id -g; id -G") };
    let (stream, reply) = started("user", &as_nobody).await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(finished(&stream).await.0, b"4242\n4242\n4242\n");
    } else {
        // Whoever may not start a program as another user does not start it as themselves.
        assert!(matches!(reply, ExecReply::Failed { .. }), "{reply:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_long_or_no_request_is_refused() {
    let stream = connect("bad", Settings { handover: Handover::default(), agent_procs: None });
    stream.write_all(&(HOST_FRAME_MAX as u32 + 1).to_le_bytes()).await.unwrap();
    assert_eq!(timeout(HANG, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
}
