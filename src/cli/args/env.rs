//! `-e` and `--env-file`. What stands in a file never takes a value from this process's environment: an agent may have
//! written the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    cli::{
        failure::{Failure, Kind},
        output::Output,
    },
    kit,
};

/// `NAME=VALUE`, or `NAME` for this process's own value.
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

/// `-e` and `--env-file`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EnvArgs {
    /// Variable in the sandbox; without a value it takes this shell's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<Variable>,
    /// File with NAME=VALUE on each line, taken as it is: quotes are part of a value
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}

/// Longest file of variables, in bytes: more does not fit into one request to the guest.
const ENV_FILE_MAX: usize = 1 << 20;

impl EnvArgs {
    /// The variables: those of files first, so that `-e` wins. `own` looks up this process's environment. Says which
    /// are not set there, and which look like credentials.
    ///
    /// # Errors
    /// When a file cannot be read or a line is no variable.
    pub fn variables(
        &self,
        own: &dyn Fn(&str) -> Option<String>,
        out: &Output,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut variables = BTreeMap::new();
        for path in &self.env_file {
            variables.extend(env_file(path)?);
        }
        for Variable { name, value } in &self.env {
            match value.clone().or_else(|| own(name)) {
                Some(value) => drop(variables.insert(name.clone(), value)),
                None => out.say(format!("warning: -e {name}: it is not set here, so it is left out")),
            }
        }
        for name in variables.iter().filter(|(name, value)| is_credential(name, value)).map(|(name, _)| name)
        {
            out.say(format!(
                "warning: {name} looks like a credential, and whatever runs in the sandbox can read it; \
                 --secret NAME, or `secrets` in a file, keeps it on this host"
            ));
        }
        Ok(variables)
    }
}

fn env_file(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let wrong = |message: String| Failure::new(Kind::File, "env_file", message);
    let read = kit::read_file(path, ENV_FILE_MAX);
    let bytes = read
        .map_err(|error| wrong(format!("cannot read the file of variables: {error}")).at(path, None, None))?;
    let mut variables = BTreeMap::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let at = |message: String| wrong(message).at(path, Some(number), None);
        let line = std::str::from_utf8(line).map_err(|_| at("this line is not UTF-8".to_owned()))?;
        // As an editor on Windows ends it, and marks the beginning of a file.
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = if number == 1 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Variable { name, value } = line.parse().map_err(at)?;
        let value = value.ok_or_else(|| {
            at(format!("`{name}` has no value, and a file takes none from this shell"))
                .hint(format!("write `{name}=VALUE` there, or pass `-e {name}`"))
        })?;
        variables.insert(name, value);
    }
    Ok(variables)
}

/// How keys of well-known services begin.
const KEYS: [&str; 16] = [
    "sk-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "npm_",
    "pypi-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "hf_",
    "eyJ",
    "-----BEGIN ",
];
/// How variables end that hold one.
const NAMES: [&str; 6] = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_PASSPHRASE", "_CREDENTIALS"];
/// Shortest value that is taken for a credential, in bytes: `sk-` alone is none.
const KEY_MIN: usize = 16;

/// Whether a variable looks like a credential; a guess, for a warning.
fn is_credential(name: &str, value: &str) -> bool {
    let named = kit::service_variables().contains(name) || NAMES.iter().any(|end| name.ends_with(end));
    value.len() >= KEY_MIN && (named || KEYS.iter().any(|begin| value.starts_with(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{output::Format, tests::Sink};

    /// The variables of a file, or the exit code and the line of what is wrong.
    type Found = Result<Vec<(String, String)>, (u8, Option<u32>)>;

    fn read(content: impl AsRef<[u8]>) -> Found {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, content).unwrap();
        env_file(&file)
            .map(|found| found.into_iter().collect())
            .map_err(|failure| (failure.exit_code(), failure.object().line))
    }

    #[test]
    fn a_file_is_read_as_it_is_and_takes_nothing_from_this_shell() {
        for (content, expected) in [
            ("", &[][..]),
            ("# comment\nA=1\n\nB=x=y z", &[("A", "1"), ("B", "x=y z")]),
            ("A=1\r\n\r\nB= x \r\n", &[("A", "1"), ("B", " x ")]),
            ("\u{feff}A=\"quoted\"\n  B='x'\n#C=1", &[("A", "\"quoted\""), ("B", "'x'")]),
            ("A=1\nA=2\nEMPTY=\n", &[("A", "2"), ("EMPTY", "")]),
        ] {
            let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(read(content), Ok(expected.collect()), "{content:?}");
        }
        for (content, line) in [
            (&b"A=1\nOWN\n"[..], Some(2)),
            (b"A=1\n1X=2\n", Some(2)),
            (b"export A=1", Some(1)),
            (b"A=1\n\nB=\0", Some(3)),
            (b"\0\0\0\0", Some(1)),
            (b"A=\xff", Some(1)),
            (b"=x", Some(1)),
            (&[b'x'; 1 << 21], None),
        ] {
            assert_eq!(read(content), Err((3, line)), "{:?}", &content[..content.len().min(20)]);
        }
        assert_eq!(env_file(Path::new("/")).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn variables_of_the_line_win_and_what_is_odd_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "A=1\nGITHUB_TOKEN=ghp_0123456789abcdef\n").unwrap();
        let env = ["A=2", "OWN", "MISSING", "MODE=sk-short"].map(|text| text.parse().unwrap()).to_vec();
        let args = EnvArgs { env, env_file: vec![file] };
        let own = |name: &str| (name == "OWN").then(|| "mine".to_owned());
        let talk = Sink::default();
        let out = Output::to(Format::Text, Sink::default(), talk.clone());
        let found: Vec<_> = args.variables(&own, &out).unwrap().into_iter().collect();
        let expected =
            [("A", "2"), ("GITHUB_TOKEN", "ghp_0123456789abcdef"), ("MODE", "sk-short"), ("OWN", "mine")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let said: Vec<String> = talk.text().lines().map(str::to_owned).collect();
        assert!(said.len() == 2 && said[0].contains("-e MISSING: it is not set here"), "{said:?}");
        assert!(
            said[1].contains("GITHUB_TOKEN looks like a credential") && !said[1].contains("ghp_"),
            "{said:?}"
        );
        for bad in ["", "=x", "a-b=1", "A\n=1", "A=\0"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad:?}");
        }
    }
}
