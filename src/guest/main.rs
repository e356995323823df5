//! Inside the machine: PID 1 and its three children, in one static binary.
//!
//! ```text
//! kernel ─▶ init       mounts, users, files; then starts, reaps and restarts its children, and powers off
//!             ├─ net      routes everything to itself, relays TCP and DNS to the host over vsock
//!             ├─ exec     starts what the host asks for, and writes its files
//!             └─ control  tells the host that all is up; sets the clock; takes the shutdown
//! ```
//!
//! Nothing here protects the host: the guest's root may replace every part of it, and the host treats each byte
//! as hostile. What it owes is service: to come up fast, to stay usable under load, and to end in a clear state.
//! PID 1 parses no network input. A child that dies is restarted; one that keeps dying ends the machine.

mod boot;
mod control;
mod exec;
mod files;
mod handover;
mod init;
mod net;
mod stream;
mod sys;
#[expect(dead_code, reason = "the protocol is one source for both sides, and this is one side")]
#[path = "../wire/mod.rs"]
mod wire;

use std::{ffi::CString, process::ExitCode};

fn main() -> ExitCode {
    let role = std::env::args().nth(1);
    if let Some(Ok(name)) = role.as_ref().map(|role| CString::new(format!("cofferdam-{role}"))) {
        // Started through /proc, a server would be called `exe` in process lists.
        let _ = rustix::thread::set_name(&name);
    }
    let result = match role.as_deref() {
        Some("net") => net::serve(),
        Some("exec") => exec::serve(),
        Some("file") => files::serve(),
        Some("control") => control::serve(),
        _ if std::process::id() == 1 => init::run(),
        _ => {
            eprintln!("cofferdam-guest: runs as PID 1 of a sandbox; it has no other use");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cofferdam-guest: {}: {error}", role.as_deref().unwrap_or("init"));
            ExitCode::FAILURE
        }
    }
}
