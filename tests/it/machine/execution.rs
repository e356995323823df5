//! `exec`: bytes, exit codes, signals, windows.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};

use super::rig::{Terminal, shared};

/// Bytes that no compression shortens and no text filter passes.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn two_hundred_megabytes_arrive_unchanged() {
    let chunk = noise(1 << 20);
    let mut command = shared().home.command("ws", &["exec", "dev", "--", "sha256sum"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut ours = Sha256::new();
    for _ in 0..200 {
        ours.update(&chunk);
        stdin.write_all(&chunk).expect("the guest reads to the end");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let ours: String = ours.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{ours}  -\n"));
}

#[test]
fn every_byte_value_comes_back_as_it_went() {
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut command = shared().home.command("ws", &["exec", "dev", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let written = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&written));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("the guest reads to the end");
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
}

#[test]
fn exit_codes_and_streams_are_the_commands_own() {
    let home = &shared().home;
    let run = |command: &[&str]| home.run(&[&["exec", "dev", "--"], command].concat());
    assert_eq!(run(&["sh", "-c", "exit 37"]).code, 37);
    assert_eq!(run(&["no-such-command"]).code, 127);
    assert_eq!(run(&["/etc/passwd"]).code, 126);
    assert_eq!(run(&["sh", "-c", "kill -KILL $$"]).code, 128 + 9);
    assert_eq!(home.run(&["exec", "--timeout", "1s", "dev", "--", "sleep", "60"]).code, 124);
    let both = run(&["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((both.stdout.as_str(), both.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn user_folder_and_variables_are_chosen() {
    let home = &shared().home;
    let script = "id -un; pwd; echo $GREETING";
    let arguments =
        ["exec", "-u", "root", "-w", "/usr", "-e", "GREETING=hello", "dev", "--", "sh", "-c", script];
    assert_eq!(home.run(&arguments).ok(), "root\n/usr\nhello\n");
    let own = home.guest("dev", "id -un; pwd").ok();
    assert_eq!(own, format!("agent\n{}\n", home.path("ws").display()));
}

#[test]
fn a_signal_reaches_the_command() {
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 60 & wait $!; done";
    let mut command = shared().home.command("ws", &["exec", "dev", "--", "bash", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "ready");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(lines.next().expect("a line").expect("text"), "caught");
    assert_eq!(child.wait().expect("it ends").code(), Some(9));
}

#[test]
fn a_terminal_session_follows_its_window() {
    let home = &shared().home;
    let script = "tty; stty size; trap 'stty size' WINCH; trap 'exit 5' INT; echo ready; \
                  while :; do sleep 60 & wait $!; done";
    let arguments = ["exec", "-it", "dev", "--", "bash", "-c", script];
    let mut terminal = Terminal::start(24, 80, &mut home.wrapped("ws", &["setsid", "--ctty"], &arguments));
    terminal.await_text("/dev/pts/");
    terminal.await_text("24 80");
    terminal.await_text("ready");
    terminal.resize(50, 132);
    terminal.await_text("50 132");
    // Control-C is a byte of the terminal, which the guest's own makes a signal of.
    terminal.enter("\x03");
    assert_eq!(terminal.close().wait().expect("it ends").code(), Some(5));
}

#[test]
fn a_shell_on_a_terminal_reads_what_is_typed() {
    let home = &shared().home;
    let mut command = home.wrapped("ws", &["setsid", "--ctty"], &["exec", "-it", "dev", "--", "sh"]);
    let mut terminal = Terminal::start(30, 100, &mut command);
    terminal.enter("echo $((40 + 2)) columns; stty size\n");
    terminal.await_text("42 columns\r\n");
    terminal.await_text("30 100\r\n");
    terminal.resize(31, 101);
    terminal.enter("until [ \"$(stty size)\" = '31 101' ]; do :; done; echo wi''der; exit 6\n");
    terminal.await_text("wider\r\n");
    assert_eq!(terminal.close().wait().expect("it ends").code(), Some(6));
}
