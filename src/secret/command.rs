//! A secret from a program's standard output: no shell, no input, bounded in size and time.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use zeroize::Zeroizing;

use super::fetch::{SecretError, VALUE_MAX, buffer};

/// What is kept of standard error, in bytes.
const STDERR_MAX: usize = 2 << 10;

/// What is kept of standard output: a value with its newline, and one byte that shows there was more.
const STDOUT_MAX: usize = VALUE_MAX + 3;

/// The most that a pipe holds, in bytes (`fs.pipe-max-size`, pipe(7)).
const PIPE_MAX: usize = 1 << 20;

/// Runs `command` and gives its standard output.
pub(super) fn output(command: &[String], limit: Duration) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (program, arguments) = command.split_first().ok_or(SecretError::NoProgram)?;
    let start = |source| SecretError::Start { program: program.clone(), source };
    let mut run = Run::start(program, arguments).map_err(start)?;
    let ended = run.wait(limit).map_err(start)?;
    // What it left running goes with it, whether it ended or not.
    let status = run.end().map_err(start)?;
    let Run { stdout, stderr, .. } = &mut run;
    match ended {
        Ended::TimedOut => Err(SecretError::TimedOut { program: program.clone(), limit }),
        Ended::TooLong => Err(SecretError::TooLong),
        Ended::ByItself if status.success() => Ok(std::mem::replace(stdout, Zeroizing::new(Vec::new()))),
        Ended::ByItself => {
            let stderr = complaint(stderr, stdout);
            Err(SecretError::Failed { program: program.clone(), status, stderr })
        }
    }
}

enum Ended {
    ByItself,
    TimedOut,
    TooLong,
}

/// A program that runs, in a process group of its own.
struct Run {
    child: Child,
    pidfd: OwnedFd,
    stdout: Zeroizing<Vec<u8>>,
    stderr: Zeroizing<Vec<u8>>,
}

impl Run {
    fn start(program: &str, arguments: &[String]) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "until sys::process offers pipes")]
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let made = (|| {
            let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
            for pipe in [child.stdout.as_ref().map(AsFd::as_fd), child.stderr.as_ref().map(AsFd::as_fd)] {
                let pipe = pipe.ok_or(Errno::BADF)?;
                fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
            }
            Ok::<_, Errno>(pidfd)
        })();
        match made {
            Ok(pidfd) => Ok(Self { child, pidfd, stdout: buffer(), stderr: buffer() }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// Reads until the program has ended, and what it had written by then. Whoever inherited its pipes is not
    /// waited for.
    fn wait(&mut self, limit: Duration) -> io::Result<Ended> {
        let deadline = Instant::now() + limit;
        loop {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Ok(Ended::TimedOut);
            };
            let ended = self.ready(left)?;
            if let Some(pipe) = &mut self.child.stdout
                && !drain(pipe, &mut self.stdout, STDOUT_MAX)?
            {
                self.child.stdout = None;
            }
            if let Some(pipe) = &mut self.child.stderr
                && !drain(pipe, &mut self.stderr, STDERR_MAX)?
            {
                self.child.stderr = None;
            }
            if self.stdout.len() == STDOUT_MAX {
                return Ok(Ended::TooLong);
            }
            if ended {
                return Ok(Ended::ByItself);
            }
        }
    }

    /// Waits for a pipe or the end; whether it has ended.
    fn ready(&self, left: Duration) -> io::Result<bool> {
        let mut watched = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        watched.extend(self.child.stdout.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(self.child.stderr.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = Timespec::try_from(left).ok();
        match poll(&mut watched, left.as_ref()) {
            Ok(_) => Ok(!watched[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        match kill_process_group(Pid::from_child(&self.child), Signal::KILL) {
            Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        self.child.wait()
    }
}

/// Reads what is there, keeping at most `max` bytes; `false` at the end. One call reads no more than a pipe can hold,
/// so that a program which never stops writing does not keep us here.
fn drain(pipe: &mut impl Read, kept: &mut Vec<u8>, max: usize) -> io::Result<bool> {
    let mut piece = Zeroizing::new([0; 4096]);
    for _ in 0..PIPE_MAX / piece.len() {
        match pipe.read(&mut *piece) {
            Ok(0) => return Ok(false),
            Ok(count) => kept.extend_from_slice(&piece[..count.min(max - kept.len())]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Standard error for the operator: one line, bounded, and without anything of what was meant to be the value.
fn complaint(stderr: &[u8], stdout: &[u8]) -> String {
    let value = String::from_utf8_lossy(stdout);
    let value = value.trim();
    let mut text = String::from_utf8_lossy(stderr).trim().to_owned();
    if !value.is_empty() {
        text = text.replace(value, "[redacted]");
    }
    text.replace('\n', " · ").escape_debug().to_string()
}
