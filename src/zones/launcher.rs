//! The launcher: parent of every process of one sandbox. One thread, no hostile byte, no secret.
//!
//! It starts the keeper, and then what the keeper asks for. It ends when the keeper ends, and everything ends with
//! it: each child holds the reading end of a pipe whose writing end only the launcher has.
//!
//! It does not set `no_new_privs`, because brokers inherit it and password managers have set-id helpers.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

use super::entry::{self, ZoneError};
use crate::sys::{
    descriptors::{self, CONFIG, FIRST, LIFELINE},
    packet,
    process::Start,
};

/// Longest message in either direction, in bytes.
pub(super) const MESSAGE_MAX: usize = 4096;

/// Zones that the keeper may have started.
const ROLES: [&str; 5] = ["egress", "vsock", "fs", "vmm", "broker"];

/// From the keeper. A start carries the descriptors: configuration, standard error, then the zone's own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Request {
    /// Start a zone.
    Start { role: String, tag: u32 },
    /// Kill a zone.
    Kill { tag: u32 },
}

/// To the keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Notice {
    /// A zone runs.
    Started { tag: u32, pid: u32 },
    /// A zone could not be started.
    Failed { tag: u32, message: String },
    /// A zone has ended.
    Exited { tag: u32, code: Option<i32>, signal: Option<i32> },
}

struct Process {
    tag: u32,
    child: Child,
    handle: OwnedFd,
}

/// Descriptors: configuration (the keeper's, passed on), the pipe on which the keeper announces itself, and sealed
/// secrets.
pub(super) fn main() -> Result<(), ZoneError> {
    // First of all: what is opened from here on takes the next free number.
    let inherited = inherit()?;
    let (ours, theirs) = packet::pair().map_err(ZoneError::failed("cannot make the keeper's socket"))?;
    let (life, lifeline) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(ZoneError::failed("cannot make the lifeline"))?;
    let keeper = start_keeper(inherited, &life, theirs)?;
    let mut launcher = Launcher { socket: ours, life, processes: vec![keeper] };
    let result = launcher.run();
    for process in &launcher.processes {
        let _ = pidfd_send_signal(&process.handle, Signal::KILL);
    }
    for process in &mut launcher.processes {
        let _ = process.child.wait();
    }
    drop(lifeline);
    result.map_err(ZoneError::failed("the keeper's socket failed"))
}

/// What the command handed over, for the keeper.
struct Inherited {
    config: OwnedFd,
    announce: OwnedFd,
    secrets: Vec<OwnedFd>,
}

fn inherit() -> Result<Inherited, ZoneError> {
    let config = entry::take(CONFIG, "the configuration")?;
    let announce = entry::take(LIFELINE, "the announcement pipe")?;
    let secrets = (FIRST..).map_while(|number| descriptors::inherit(number).ok()).collect();
    Ok(Inherited { config, announce, secrets })
}

fn start_keeper(inherited: Inherited, life: &OwnedFd, socket: OwnedFd) -> Result<Process, ZoneError> {
    let life = life.try_clone().map_err(ZoneError::failed("cannot copy the lifeline"))?;
    let stderr =
        io::stderr().as_fd().try_clone_to_owned().map_err(ZoneError::failed("cannot copy stderr"))?;
    let mut start = Start::this_program()
        .argument("__zone")
        .argument("keeper")
        .stderr(stderr)
        .descriptor(inherited.config, CONFIG)
        .descriptor(life, LIFELINE)
        .descriptor(socket, FIRST)
        .descriptor(inherited.announce, FIRST + 1);
    for (number, secret) in (FIRST + 2..).zip(inherited.secrets) {
        start = start.descriptor(secret, number);
    }
    Process::start(0, start).map_err(ZoneError::failed("cannot start the keeper"))
}

impl Process {
    fn start(tag: u32, start: Start) -> io::Result<Self> {
        let mut child = start.spawn()?;
        let pid = rustix::process::Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(Self { tag, child, handle }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }
}

struct Launcher {
    socket: OwnedFd,
    life: OwnedFd,
    /// The keeper is the first.
    processes: Vec<Process>,
}

impl Launcher {
    /// Serves until the keeper ends.
    fn run(&mut self) -> io::Result<()> {
        loop {
            let handles = self.processes.iter().map(|process| process.handle.as_fd());
            let mut watched: Vec<PollFd<'_>> = std::iter::once(self.socket.as_fd())
                .chain(handles)
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
                .collect();
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let ready: Vec<bool> =
                watched.iter().map(|descriptor| !descriptor.revents().is_empty()).collect();
            drop(watched);
            for index in (0..self.processes.len()).rev().filter(|index| ready[index + 1]) {
                let mut process = self.processes.remove(index);
                let status = process.child.wait()?;
                if index == 0 {
                    return Ok(());
                }
                self.notify(&exited(process.tag, status))?;
            }
            if ready[0] && !self.serve()? {
                return Ok(());
            }
        }
    }

    fn serve(&mut self) -> io::Result<bool> {
        let received = match packet::receive(&self.socket, MESSAGE_MAX) {
            // The keeper has ended with something of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            other => other?,
        };
        let Some((message, descriptors)) = received else { return Ok(false) };
        match serde_json::from_slice(&message)? {
            Request::Start { role, tag } => {
                let notice = match self.start(&role, tag, descriptors) {
                    Ok(pid) => Notice::Started { tag, pid },
                    Err(error) => Notice::Failed { tag, message: error.to_string() },
                };
                self.notify(&notice)?;
            }
            Request::Kill { tag } => {
                for process in self.processes.iter().skip(1).filter(|process| process.tag == tag) {
                    pidfd_send_signal(&process.handle, Signal::KILL)?;
                }
            }
        }
        Ok(true)
    }

    fn start(&mut self, role: &str, tag: u32, descriptors: Vec<OwnedFd>) -> io::Result<u32> {
        if !ROLES.contains(&role) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("no zone is called {role}")));
        }
        let mut descriptors = descriptors.into_iter();
        let (Some(config), Some(stderr)) = (descriptors.next(), descriptors.next()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a start needs a configuration"));
        };
        let mut start = Start::this_program()
            .argument("__zone")
            .argument(role)
            .stderr(stderr)
            .descriptor(config, CONFIG)
            .descriptor(self.life.try_clone()?, LIFELINE);
        for (number, descriptor) in (FIRST..).zip(descriptors) {
            start = start.descriptor(descriptor, number);
        }
        let process = Process::start(tag, start)?;
        let pid = process.child.id();
        offer_to_the_oom_killer(role, pid);
        self.processes.push(process);
        Ok(pid)
    }

    fn notify(&self, notice: &Notice) -> io::Result<()> {
        let none: [BorrowedFd<'_>; 0] = [];
        match packet::send(&self.socket, &serde_json::to_vec(notice)?, &none) {
            // The keeper is gone; its handle says so next.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// When the host runs out of memory, the machine goes first, then a file server, and what judges them last (proc(5),
/// `oom_score_adj`). Raising the score needs no privilege; where `/proc` is not writable the kernel chooses.
fn offer_to_the_oom_killer(role: &str, pid: u32) {
    let score = match role {
        "vmm" => "800",
        "fs" => "500",
        _ => return,
    };
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score);
}

fn exited(tag: u32, status: ExitStatus) -> Notice {
    Notice::Exited { tag, code: status.code(), signal: status.signal() }
}
