//! Asks a client: the one place here that runs a program. It runs in `/`, with an environment of three variables and
//! an empty home that is removed afterwards, so that no file of a workspace or of the user says what the client's own
//! default is, and nothing that it writes stays.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::Here;
use crate::sys::process::Start;

/// A client that thinks longer than this is not asked: nobody waits for it a second time.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// What the first program of this name that answers says.
pub(super) fn ask(
    here: &Here<'_>,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Option<String> {
    here.programs(program).find_map(|path| run(&path, here, arguments, variables).ok().flatten())
}

fn run(
    program: &Path,
    here: &Here<'_>,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> io::Result<Option<String>> {
    let path = std::env::join_paths(&here.search).unwrap_or_default();
    let home = tempfile::Builder::new().prefix("cofferdam-ask-").tempdir()?;
    let mut start = Start::new(program)
        .folder("/")
        .variable("PATH", path)
        .variable("HOME", home.path())
        .variable("LC_ALL", "C")
        .stdout(Stdio::piped())
        .new_session();
    for argument in arguments {
        start = start.argument(argument);
    }
    for (name, value) in variables {
        start = start.variable(name, value);
    }
    let mut child = Answering { child: start.spawn()? };
    let bytes = child.read(Instant::now() + LIMIT)?;
    let ended = child.child.try_wait()?;
    Ok(match (bytes, ended) {
        (Some(bytes), Some(status)) if status.success() => String::from_utf8(bytes).ok(),
        _ => None,
    })
}

struct Answering {
    child: Child,
}

impl Answering {
    /// Its standard output, once it has ended; `None` when it takes too long or says too much.
    fn read(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let pid: OwnedFd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        let Some(mut output) = self.child.stdout.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut open = true;
        loop {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(None) };
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            let mut waited = if open {
                vec![PollFd::new(&output, PollFlags::IN)]
            } else {
                vec![PollFd::new(&pid, PollFlags::IN)]
            };
            match poll(&mut waited, Some(&left)) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if waited[0].revents().is_empty() {
                continue;
            }
            drop(waited);
            if !open {
                return Ok(Some(bytes));
            }
            let mut piece = [0; 4096];
            match output.read(&mut piece)? {
                0 => open = false,
                length => bytes.extend_from_slice(&piece[..length]),
            }
            if bytes.len() > ANSWER_MAX {
                return Ok(None);
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // Whatever became of it: it does not outlive the question.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
