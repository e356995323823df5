//! Pieces of command lines that several commands share.

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

/// `KEY=VALUE`, or `KEY` for this process's own value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Value; `None` takes that of the environment, and nothing where it has none.
    pub value: Option<String>,
}

impl std::str::FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(inner) {
            return Err(
                "a variable has the form NAME=VALUE, and a name of letters, digits and underscores".into()
            );
        }
        if value.as_ref().is_some_and(|value| value.contains('\0')) {
            return Err("a variable's value cannot hold a NUL byte".into());
        }
        Ok(Self { name: name.to_owned(), value })
    }
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

/// `-e` and `--env-file`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EnvArgs {
    /// Variable in the sandbox; without a value it takes this shell's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<Variable>,
    /// File with a variable on each line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}

/// Longest file of variables, in bytes: more does not fit into one request to the guest.
const ENV_FILE_MAX: usize = 1 << 20;

impl EnvArgs {
    /// The variables: those of files first, so that `-e` wins. `own` looks up this process's environment.
    ///
    /// # Errors
    /// When a file cannot be read or a line is no variable.
    pub fn variables(
        &self,
        own: &dyn Fn(&str) -> Option<String>,
    ) -> Result<std::collections::BTreeMap<String, String>, super::failure::Failure> {
        let mut all = Vec::new();
        for path in &self.env_file {
            all.extend(env_file(path)?);
        }
        all.extend(self.env.iter().cloned());
        let value = |variable: Variable| {
            let value = variable.value.or_else(|| own(&variable.name))?;
            Some((variable.name, value))
        };
        Ok(all.into_iter().filter_map(value).collect())
    }
}

fn env_file(path: &std::path::Path) -> Result<Vec<Variable>, super::failure::Failure> {
    use super::failure::{Failure, Kind};
    let unreadable = |error: &dyn std::error::Error| {
        let message = format!("cannot read the file of variables: {error}");
        Failure::new(Kind::File, "env_file", message).at(path, None, None)
    };
    let bytes = crate::kit::read_file(path, ENV_FILE_MAX).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(&error))?;
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let variable = line.parse().map_err(|message: String| {
            Failure::new(Kind::File, "env_file", message).at(path, Some(number), None)
        })?;
        variables.push(variable);
    }
    Ok(variables)
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

    #[test]
    fn variables_of_the_line_win_over_those_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "# comment\nA=1\n\nB=x=y z\nOWN\nMISSING\n").unwrap();
        let args = EnvArgs { env: vec!["A=2".parse().unwrap()], env_file: vec![file.clone()] };
        let own = |name: &str| (name == "OWN").then(|| "mine".to_owned());
        let found: Vec<_> = args.variables(&own).unwrap().into_iter().collect();
        let expected = [("A", "2"), ("B", "x=y z"), ("OWN", "mine")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

        std::fs::write(&file, "A=1\n1X=2\n").unwrap();
        let failure = args.variables(&own).unwrap_err();
        assert_eq!((failure.exit_code(), failure.object().line), (3, Some(2)));
        for bad in ["", "=x", "a-b=1", "A\n=1", "A=\0"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad:?}");
        }
    }
}
