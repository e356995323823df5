//! From a wish to a session: the request, the local terminal, the exit code. Shared by `exec` and `run`.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    sync::Arc,
    time::Duration,
};

use crate::{
    cli::{
        client::{self, Client},
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::Found,
        session::{self, CODE_OURS, CODE_TIMEOUT, Ended, Session, SessionError, terminal},
    },
    model::session::SessionKind,
    wire::{self, exec::ExecRequest},
};

/// What to run, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Added to the sandbox's environment.
    pub env: BTreeMap<String, String>,
    /// Default: the agent's.
    pub working_dir: Option<String>,
    /// Default: the agent's.
    pub user: Option<String>,
    /// With a terminal of its own.
    pub tty: bool,
    /// With our standard input.
    pub stdin: bool,
    /// Ended after this time.
    pub timeout: Option<Duration>,
    /// What the sandbox is busy with meanwhile.
    pub kind: SessionKind,
}

/// Longest value of `TERM` that is handed on, in bytes.
const TERM_MAX: usize = 64;

impl Wish {
    /// As a person at this terminal would have it; without a terminal, with standard input.
    #[must_use]
    pub fn interactive(command: Vec<String>, env: BTreeMap<String, String>) -> Self {
        let tty = io::stdin().is_terminal() && io::stdout().is_terminal();
        Self { command, env, tty, stdin: true, kind: SessionKind::Attach, ..Self::default() }
    }

    fn request(self) -> ExecRequest {
        let mut env = self.env;
        if self.tty
            && let Some(term) = std::env::var("TERM").ok().filter(|term| is_plain(term))
        {
            env.entry("TERM".to_owned()).or_insert(term);
        }
        ExecRequest {
            version: wire::VERSION,
            argv: self.command,
            env,
            working_dir: self.working_dir,
            user: self.user,
            tty: self.tty.then(|| terminal::size(rustix::stdio::stdin())),
            stdin: self.stdin,
        }
    }
}

fn is_plain(term: &str) -> bool {
    term.len() <= TERM_MAX && !term.is_empty() && term.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Runs the command in the running sandbox, to its end.
///
/// # Errors
/// Our failures, with exit code 125; a program that does not run, with the shell's code.
pub fn run(sandbox: &Found, wish: Wish) -> CommandResult {
    let client = Client::new(&sandbox.socket);
    let attached = async {
        let output = session::Output::standard().map_err(ours)?;
        outcome(session(&client, wish, output).await?)
    };
    client::block_on(attached).map_err(|failure| failure.default_exit(CODE_OURS))
}

/// As [`run`], with all that the command writes on standard error; gives how it ended, and how many bytes it wrote to
/// its standard output and error.
///
/// # Errors
/// As [`run`].
pub fn aside(sandbox: &Found, wish: Wish) -> Result<(Ended, (u64, u64)), Failure> {
    let client = Client::new(&sandbox.socket);
    let counts = Arc::<session::Counts>::default();
    let attached = async {
        let output = session::Output::aside(Arc::clone(&counts)).map_err(ours)?;
        match session(&client, wish, output).await? {
            Ok(ended) => Ok(ended),
            Err(error) => Err(failed(error)),
        }
    };
    let ended = client::block_on(attached).map_err(|failure| failure.default_exit(CODE_OURS))?;
    Ok((ended, counts.get()))
}

fn ours(error: io::Error) -> Failure {
    Failure::new(Kind::Failed, "local_streams", "this process's own streams cannot be used").caused_by(&error)
}

async fn session(
    client: &Client,
    wish: Wish,
    output: session::Output,
) -> Result<Result<Ended, SessionError>, Failure> {
    let (tty, stdin, timeout, kind) = (wish.tty, wish.stdin, wish.timeout, wish.kind);
    let guest = client.exec(kind, &wish.request()).await?;
    let input = if stdin { Some(session::Input::standard().map_err(ours)?) } else { None };
    let is_terminal = tty && io::stdin().is_terminal();
    let window = rustix::stdio::stdin().try_clone_to_owned().map_err(ours)?;
    let events = terminal::events(is_terminal.then_some(window)).map_err(ours)?;
    let raw = is_terminal && stdin;
    let raw = if raw { Some(terminal::RawMode::enter(rustix::stdio::stdin()).map_err(ours)?) } else { None };
    let ended = Session { guest, input, output, events, timeout }.run().await;
    // Before anything is printed.
    drop(raw);
    Ok(ended)
}

fn outcome(ended: Result<Ended, SessionError>) -> CommandResult {
    match ended {
        Ok(Ended::Command(code) | Ended::Left(code)) => Ok(Outcome::Passed(code)),
        Ok(Ended::TimedOut) => {
            let message = "the command did not end in time";
            Err(Failure::new(Kind::TimedOut, "exec_timeout", message).exit_with(CODE_TIMEOUT))
        }
        // What `head` does to any command before it: ended by SIGPIPE, without a word.
        Err(SessionError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Outcome::Passed(141))
        }
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: SessionError) -> Failure {
    match error {
        SessionError::NotStarted { code, message } => {
            Failure::new(Kind::Failed, "not_started", message).exit_with(code)
        }
        error => Failure::from_error(Kind::Failed, "session_failed", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_the_documented_codes() {
        let code = |ended| match outcome(ended) {
            Ok(outcome) => outcome.exit_code(),
            Err(failure) => failure.default_exit(CODE_OURS).exit_code(),
        };
        assert_eq!(code(Ok(Ended::Command(37))), 37);
        assert_eq!(code(Ok(Ended::Left(130))), 130);
        assert_eq!(code(Ok(Ended::TimedOut)), 124);
        assert_eq!(code(Err(SessionError::NotStarted { code: 127, message: String::new() })), 127);
        assert_eq!(code(Err(SessionError::Cut(io::ErrorKind::UnexpectedEof.into()))), 125);
        assert_eq!(code(Err(SessionError::Output(io::ErrorKind::BrokenPipe.into()))), 141);
    }

    #[test]
    fn a_terminals_name_is_not_a_way_in() {
        assert!(is_plain("xterm-256color"));
        assert!(!is_plain("") && !is_plain("a b") && !is_plain("x\n") && !is_plain(&"x".repeat(65)));
    }
}
