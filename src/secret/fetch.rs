//! Fetches one secret from where the operator keeps it. Runs in the broker, which sees no byte of a guest.
//!
//! Guarantees: no error holds a value; a value is one that a header can carry; every source is bounded in size and
//! time.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Read},
    os::unix::{
        ffi::OsStringExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use crate::model::{redacted::Redacted, secret::SecretSource};

use super::command;

/// What the operator's environment offers to a source.
pub struct Surroundings<'a> {
    /// Looks a variable up in the environment of the command that starts the sandbox.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The operator's home, for `~/`.
    pub home: &'a Path,
    /// How long a command may take.
    pub time_limit: Duration,
}

/// Longest value, in bytes.
pub const VALUE_MAX: usize = 64 << 10;

/// Time that a command has unless the operator says otherwise: long enough for a password manager's question.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A value, and what the operator should know about its source.
#[derive(Debug)]
pub struct Fetched {
    /// The value.
    pub value: Redacted,
    /// A sentence for the operator, such as that others may read the file.
    pub warning: Option<String>,
}

/// Why there is no value. Never holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the variable {0} is not set; set it in the environment that starts the sandbox")]
    NoVariable(String),
    /// The file is not there.
    #[error("there is no file {}; write the secret into it", .0.display())]
    NoFile(PathBuf),
    /// The file is named from nowhere.
    #[error("{} is no absolute path; write one, or one that begins with ~/", .0.display())]
    Relative(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The command cannot be started.
    #[error("cannot start `{program}`; is it installed, and in PATH?")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The command failed.
    #[error("`{program}` ended with {status}{}", says(stderr))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said on standard error: bounded, control characters visible, less anything it wrote on
        /// standard output.
        stderr: String,
    },
    /// The command took too long.
    #[error("`{program}` gave no answer within {} s; run it by hand to see what it waits for", limit.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// What it had.
        limit: Duration,
    },
    /// No program is named.
    #[error("the command of a secret's source is empty; write the program and its arguments")]
    NoProgram,
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// It is too long.
    #[error("the secret is longer than {VALUE_MAX} bytes")]
    TooLong,
    /// A header could not carry it.
    #[error(
        "the secret has a byte at position {position} that no header can carry (only printable ASCII, no line \
         feed, no space at either end); is it the right file or command?"
    )]
    NotPrintable {
        /// Position from 0.
        position: usize,
    },
}

impl SecretError {
    /// Whether the source is there but has nothing yet, as opposed to being wrong: an optional secret is left out
    /// then.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoVariable(_) | Self::NoFile(_) | Self::Empty)
    }
}

fn says(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(" and said: {stderr}") }
}

/// Fetches the value that `source` holds.
///
/// # Errors
/// When there is none, or none that a header can carry.
pub fn fetch(source: &SecretSource, around: &Surroundings<'_>) -> Result<Fetched, SecretError> {
    let (bytes, warning) = match source {
        SecretSource::Env { env } => (variable(env, around)?, None),
        SecretSource::File { file } => file_content(file, around.home)?,
        SecretSource::Command { command } => (command::output(command, around.time_limit)?, None),
    };
    Ok(Fetched { value: check(bytes)?, warning })
}

fn variable(name: &str, around: &Surroundings<'_>) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let value = (around.env)(name).ok_or_else(|| SecretError::NoVariable(name.to_owned()))?;
    Ok(Zeroizing::new(value.into_vec()))
}

type Content = (Zeroizing<Vec<u8>>, Option<String>);

fn file_content(path: &Path, home: &Path) -> Result<Content, SecretError> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) if path.is_absolute() => path.to_owned(),
        Err(_) => return Err(SecretError::Relative(path.to_owned())),
    };
    let read = || {
        // The operator may use links, as mounted secrets do; a pipe without a writer must not hang us.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut bytes = buffer();
        file.take(VALUE_MAX as u64 + 3).read_to_end(&mut bytes)?;
        Ok((bytes, meta.mode() & 0o077))
    };
    match read() {
        Ok((bytes, others)) => {
            let warning = || format!("others may read {0}; run: chmod go= {0}", path.display());
            Ok((bytes, (others != 0).then(warning)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SecretError::NoFile(path)),
        Err(source) => Err(SecretError::Read { path, source }),
    }
}

/// A buffer that never grows while it is filled: growing would leave copies behind.
pub(super) fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(VALUE_MAX + 64))
}

/// Takes the trailing newline off and refuses what a header cannot carry: one line feed in a value would write a
/// header of its own.
fn check(mut bytes: Zeroizing<Vec<u8>>) -> Result<Redacted, SecretError> {
    for end in *b"\n\r" {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(SecretError::Empty);
    }
    if bytes.len() > VALUE_MAX {
        return Err(SecretError::TooLong);
    }
    let last = bytes.len() - 1;
    let fits =
        |index: usize, byte: u8| byte.is_ascii_graphic() || (byte == b' ' && index != 0 && index != last);
    match bytes.iter().enumerate().find(|(index, byte)| !fits(*index, **byte)) {
        Some((position, _)) => Err(SecretError::NotPrintable { position }),
        None => Ok(Redacted::new(std::mem::take(&mut *bytes))),
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
