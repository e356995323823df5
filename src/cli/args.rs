//! Pieces of command lines that several commands share.

mod env;

pub use self::env::EnvArgs;

use std::{path::PathBuf, time::Duration};

use super::ops::Source;

/// `-f`.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArg {
    /// File or folder with documents, or `-` for standard input; default: sandbox.yaml, else .cofferdam/, searched
    /// upwards to the repository's root
    #[arg(short, long = "file", value_name = "FILE|DIR|-")]
    pub file: Option<PathBuf>,
}

impl FileArg {
    /// Where the documents come from.
    #[must_use]
    pub fn source(&self) -> Source {
        match &self.file {
            None => Source::Search,
            Some(path) if path.as_os_str() == "-" => Source::Stdin,
            Some(path) => Source::Path(path.clone()),
        }
    }
}

/// A length of time: `90s`, `10m`, `1h30m`, `500ms`; a bare number is seconds.
///
/// # Errors
/// When it has another form or does not fit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a length of time; write for example 90s, 10m or 1h30m");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let unit = units.iter().find(|(unit, _)| rest[digits..].starts_with(unit));
        let (unit, millis) = unit.ok_or_else(wrong)?;
        let millis = count.checked_mul(*millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(millis)).ok_or_else(wrong)?;
        rest = &rest[digits + unit.len()..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// `[HOST:]PORT`: a port of the sandbox, and where the host shall have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// Port in the sandbox.
    pub guest: u16,
    /// Wish for the host's port.
    pub host: Option<u16>,
}

impl std::str::FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.parse() {
            Ok(port @ 1..=u16::MAX) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err(format!("`{text}` is no port; write PORT or HOST:PORT, for example 8080:3000")),
        };
        match text.split_once(':') {
            Some((host, guest)) => Ok(Self { guest: port(guest)?, host: Some(port(host)?) }),
            None => Ok(Self { guest: port(text)?, host: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, millis) in [
            ("90", 90_000),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("0", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1x", "-1s", "1.5h", "99999999999999999999", "18446744073709551615h", "1h30"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_of_a_command_line() {
        assert_eq!("8080:3000".parse(), Ok(Publish { guest: 3000, host: Some(8080) }));
        assert_eq!("3000".parse(), Ok(Publish { guest: 3000, host: None }));
        for bad in ["", "0", "x", "1:2:3", ":3000", "8080:", "70000", "+80", "127.0.0.1:80:80"] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
    }
}
