//! Runs a host tool: no shell, a cleaned environment, a bounded log. The only place in `template` that starts
//! a process.
//!
//! A pipeline's bytes pass through us, not from child to child: when we die, the producer gets `SIGPIPE` and
//! the consumer an end of file, so an interrupted build leaves no process that goes on for minutes.

use std::{
    collections::VecDeque,
    env,
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use super::host::Host;
use crate::model::text::visible_columns;

/// Lines of a tool's output that an error shows.
const TAIL_LINES: usize = 12;
/// apt's progress, for us and not for an error (`APT::Status-Fd`).
pub(super) const STATUS_LINE: &str = "dlstatus:";
/// Longer lines are cut: a tool may relay what a server sent.
const LINE_LIMIT: u64 = 1024;
/// Output that is collected for parsing; `apt-config dump` writes some 20 KiB.
const OUTPUT_LIMIT: u64 = 4 * 1024 * 1024;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{program} is not installed; `cofferdam doctor` names the command that brings it")]
    NotFound {
        /// The program.
        program: String,
    },
    /// It could not be started, or its pipes broke.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("{program} failed ({status}); it said:\n{tail}")]
    Failed {
        /// The program.
        program: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// The end of its log, control characters made visible.
        tail: String,
    },
}

/// A call of a tool, not yet made.
#[derive(Debug, Clone)]
pub struct Tool<'h> {
    host: &'h Host,
    program: &'static str,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

impl<'h> Tool<'h> {
    /// A tool by its name on the host's search path.
    #[must_use]
    pub fn new(host: &'h Host, program: &'static str) -> Self {
        Self { host, program, arguments: Vec::new(), directory: None, environment: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets a variable beside those that every tool gets.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs it to its end; `on_line` sees each line that it writes.
    ///
    /// # Errors
    /// When it is missing, cannot start, or fails.
    pub fn run(self, mut on_line: impl FnMut(&str)) -> Result<(), ToolError> {
        let (log, output) = io::pipe().map_err(|source| self.broken(source))?;
        let errors = output.try_clone().map_err(|source| self.broken(source))?;
        let child = self.spawn(Stdio::null(), output.into(), errors.into())?;
        let tail = follow(log, &mut on_line);
        self.finish(child, &tail)
    }

    /// Runs it to its end and returns its standard output (at most 4 MiB of it).
    ///
    /// # Errors
    /// When it is missing, cannot start, or fails.
    pub fn output(self) -> Result<Vec<u8>, ToolError> {
        let mut child = self.spawn(Stdio::null(), Stdio::piped(), Stdio::piped())?;
        let (log, output) = (child.stderr.take(), child.stdout.take());
        let mut bytes = Vec::new();
        let tail = thread::scope(|scope| {
            let log = scope.spawn(|| log.map(|log| follow(log, &mut |_| {})).unwrap_or_default());
            let read = output.map_or(Ok(0), |output| output.take(OUTPUT_LIMIT).read_to_end(&mut bytes));
            read.map(|_| log.join().unwrap_or_default()).map_err(|source| self.broken(source))
        })?;
        self.finish(child, &tail)?;
        Ok(bytes)
    }

    /// Runs it with its standard output as the other's standard input; `on_news` sees each line that this one
    /// logs, and the number of bytes that have passed.
    ///
    /// # Errors
    /// When either is missing, cannot start, or fails. The producer's failure is told before the consumer's.
    pub fn pipe_into(self, consumer: Tool<'_>, mut on_news: impl FnMut(News<'_>)) -> Result<(), ToolError> {
        // The consumer first: where it is missing, the long producer need not run.
        let mut sink = consumer.spawn(Stdio::piped(), Stdio::null(), Stdio::piped())?;
        let mut source = match self.spawn(Stdio::null(), Stdio::piped(), Stdio::piped()) {
            Ok(source) => source,
            Err(error) => {
                drop(sink.stdin.take());
                let _ = sink.wait();
                return Err(error);
            }
        };
        let pipes = (source.stdout.take(), sink.stdin.take());
        let logs = (source.stderr.take(), sink.stderr.take());
        let (copied, source_tail, sink_tail) = thread::scope(|scope| {
            let (send, news) = std::sync::mpsc::channel();
            let lines = send.clone();
            let source_log = scope.spawn(move || {
                let mut tell = |line: &str| drop(lines.send(Owned::Line(line.to_owned())));
                logs.0.map(|log| follow(log, &mut tell)).unwrap_or_default()
            });
            let sink_log = scope.spawn(|| logs.1.map(|log| follow(log, &mut |_| {})).unwrap_or_default());
            let copy = scope.spawn(move || match pipes {
                (Some(from), Some(to)) => copy(from, to, |bytes| drop(send.send(Owned::Bytes(bytes)))),
                _ => Ok(()),
            });
            for one in news {
                on_news(one.as_news());
            }
            let copied = copy.join().unwrap_or_else(|_| Err(io::Error::other("the copying thread ended")));
            (copied, source_log.join().unwrap_or_default(), sink_log.join().unwrap_or_default())
        });
        let sink_end = consumer.finish(sink, &sink_tail);
        self.finish_unless_broken(source, &source_tail, sink_end.is_err())?;
        sink_end?;
        copied.map_err(|source| self.broken(source))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "sys::process is for our own zones; host tools start here only"
    )]
    fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child, ToolError> {
        let program = self.host.find(self.program);
        let program = program.ok_or_else(|| ToolError::NotFound { program: self.program.to_owned() })?;
        let path = env::join_paths(&self.host.search).unwrap_or_default();
        let mut command = Command::new(program);
        command.args(&self.arguments).env_clear().env("PATH", path).env("LC_ALL", "C");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.envs(self.host.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        command.spawn().map_err(|source| self.broken(source))
    }

    fn finish(&self, mut child: Child, tail: &str) -> Result<(), ToolError> {
        let status = child.wait().map_err(|source| self.broken(source))?;
        if status.success() {
            return Ok(());
        }
        Err(ToolError::Failed { program: self.program.to_owned(), status, tail: tail.to_owned() })
    }

    /// A producer that fails because its consumer died is not the cause.
    fn finish_unless_broken(&self, child: Child, tail: &str, consumer_failed: bool) -> Result<(), ToolError> {
        use std::os::unix::process::ExitStatusExt as _;
        match self.finish(child, tail) {
            Err(ToolError::Failed { status, .. })
                if consumer_failed && status.signal() == Some(rustix::process::Signal::PIPE.as_raw()) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn broken(&self, source: io::Error) -> ToolError {
        ToolError::Run { program: self.program.to_owned(), source }
    }
}

/// What a pipeline tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// The producer logged a line.
    Line(&'a str),
    /// So many bytes have passed so far.
    Bytes(u64),
}

enum Owned {
    Line(String),
    Bytes(u64),
}

impl Owned {
    fn as_news(&self) -> News<'_> {
        match self {
            Self::Line(line) => News::Line(line),
            Self::Bytes(bytes) => News::Bytes(*bytes),
        }
    }
}

fn copy(mut from: impl Read, mut to: impl Write, mut told: impl FnMut(u64)) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer[..count])?;
        let before = total;
        total += count as u64;
        // A report each 4 MiB is enough for a bar.
        if before >> 22 != total >> 22 {
            told(total);
        }
    }
}

/// Reads a log to its end and returns its last lines. Lines end at `\n` or, for progress lines, at `\r`.
fn follow(log: impl Read, on_line: &mut dyn FnMut(&str)) -> String {
    let mut reader = BufReader::new(log);
    let mut tail: VecDeque<String> = VecDeque::with_capacity(TAIL_LINES);
    let mut raw = Vec::new();
    loop {
        raw.clear();
        match reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut raw) {
            Ok(0) | Err(_) => return Vec::from(tail).join("\n"),
            Ok(_) => {}
        }
        for line in String::from_utf8_lossy(&raw).split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
            let line = visible_columns(line).into_owned();
            on_line(&line);
            if line.starts_with(STATUS_LINE) {
                continue;
            }
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line);
        }
    }
}

#[cfg(test)]
#[path = "tool_tests.rs"]
mod tests;
