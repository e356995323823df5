//! What the clients of Debian 12, which the built-in base is, make of a lock file: by the version of its format and by
//! the version of the language that it asks for. Pure, and over bounded text that somebody else wrote.

use super::ecosystem::{Ends, Files};

/// The step of the template that its client needs, if any; else why it would not work.
pub(super) type Fit = Result<Option<String>, String>;

/// A major and a minor version.
type Version = (u32, u32);

const PYTHON: Version = (3, 11);
const GO: Version = (1, 19);
const RUBY: Version = (3, 1);
const PHP: Version = (8, 2);

pub(super) fn npm(_: &dyn Files, ends: &Ends) -> Fit {
    match after(&ends.head, "\"lockfileVersion\":").and_then(version) {
        Some((1..=3, _)) => Ok(None),
        Some((other, _)) => Err(format!("its lockfileVersion is {other}, and Debian 12's npm reads up to 3")),
        None => Err("it names no lockfileVersion, and npm ci needs one".to_owned()),
    }
}

pub(super) fn pnpm(_: &dyn Files, ends: &Ends) -> Fit {
    let client = match after(&ends.head, "lockfileVersion:").and_then(version) {
        Some((9, _)) => 9,
        Some((6, _)) => 8,
        _ => return Err("which pnpm writes this lockfileVersion is not known here".to_owned()),
    };
    Ok(Some(format!("npm install --global pnpm@{client}")))
}

pub(super) fn yarn(_: &dyn Files, ends: &Ends) -> Fit {
    if ends.head.contains("# yarn lockfile v1") {
        Ok(None)
    } else if ends.head.contains("__metadata:") {
        Err("it is of Yarn 2 or later, and Debian 12 has Yarn 1".to_owned())
    } else {
        Err("it does not say that it is of Yarn 1, which Debian 12 has".to_owned())
    }
}

pub(super) fn uv(_: &dyn Files, ends: &Ends) -> Fit {
    python(after(&ends.head, "requires-python ="))?;
    let steps =
        "python3 -m venv /opt/uv && /opt/uv/bin/pip install uv && ln -s /opt/uv/bin/uv /usr/local/bin/uv";
    Ok(Some(steps.to_owned()))
}

pub(super) fn poetry(files: &dyn Files, ends: &Ends) -> Fit {
    let both = [&ends.tail, &ends.head];
    let format = both.iter().find_map(|text| after(text, "lock-version =")).and_then(version);
    match format {
        Some((1, _) | (2, 0)) => {}
        Some((major, minor)) => {
            return Err(format!(
                "its lock-version is {major}.{minor}, and Debian 12's Poetry 1.3 reads up to 2.0"
            ));
        }
        None => return Err("it names no lock-version".to_owned()),
    }
    python(both.iter().find_map(|text| after(text, "python-versions =")))?;
    let project = files.ends("pyproject.toml").unwrap_or_default();
    match [project.head, project.tail].iter().any(|text| text.contains("[tool.poetry]")) {
        true => Ok(None),
        false => Err("pyproject.toml has no [tool.poetry], which Debian 12's Poetry 1.3 needs".to_owned()),
    }
}

pub(super) fn pipenv(_: &dyn Files, ends: &Ends) -> Fit {
    let asked = ["\"python_full_version\":", "\"python_version\":"];
    match asked.iter().find_map(|key| after(&ends.head, key)).and_then(version) {
        None | Some(PYTHON) => Ok(None),
        Some((major, minor)) => Err(other("Python", PYTHON, &format!("{major}.{minor}"))),
    }
}

pub(super) fn cargo(_: &dyn Files, ends: &Ends) -> Fit {
    let before_packages = ends.head.split("[[package]]").next().unwrap_or_default();
    match after(before_packages, "version =").and_then(version) {
        None | Some((..=4, _)) => Ok(None),
        Some((newer, _)) => Err(format!("its version is {newer}, and Debian 12's cargo-web reads up to 4")),
    }
}

pub(super) fn go(files: &dyn Files, _: &Ends) -> Fit {
    let module = files.ends("go.mod").unwrap_or_default().head;
    let directive = |word: &str| {
        let rest = |line: &'_ str| line.trim().strip_prefix(word)?.strip_prefix(' ').map(str::to_owned);
        module.lines().find_map(rest)
    };
    let asked = directive("toolchain").or_else(|| directive("go"));
    match asked.as_deref().and_then(version) {
        Some(asked @ (major, minor)) if asked > GO => Err(other("Go", GO, &format!("{major}.{minor}"))),
        _ => Ok(None),
    }
}

pub(super) fn bundler(_: &dyn Files, ends: &Ends) -> Fit {
    let locked = ends.tail.rsplit_once("RUBY VERSION").and_then(|(_, rest)| version(rest));
    match locked {
        Some(locked @ (major, minor)) if locked != RUBY => {
            Err(other("Ruby", RUBY, &format!("{major}.{minor}")))
        }
        _ => Ok(None),
    }
}

pub(super) fn composer(_: &dyn Files, ends: &Ends) -> Fit {
    if ends.head.contains("https://api.github.com/") {
        return Err("its packages lie at api.github.com, which `registry:composer` does not hold".to_owned());
    }
    let platform = ends.tail.rsplit_once("\"platform\":").map(|(_, rest)| rest);
    match platform.and_then(|platform| after(platform, "\"php\":")) {
        Some(asked) if !admits(&asked, PHP) => Err(other("PHP", PHP, &plain(&asked))),
        _ => Ok(None),
    }
}

fn python(asked: Option<String>) -> Result<(), String> {
    match asked {
        Some(asked) if !admits(&asked, PYTHON) => Err(other("Python", PYTHON, &plain(&asked))),
        _ => Ok(()),
    }
}

fn other(language: &str, (major, minor): Version, asked: &str) -> String {
    format!("it asks for {language} {asked}, and Debian 12 has {major}.{minor}")
}

/// The rest of the first line that `key` begins, whatever stands before it.
fn after(text: &str, key: &str) -> Option<String> {
    let begins = |line: &'_ str| line.trim_start().strip_prefix(key).map(str::to_owned);
    // A file of one line, as programs write JSON, has the key somewhere in it.
    let inside = || text.split_once(key).map(|(_, rest)| rest.lines().next().unwrap_or_default().to_owned());
    text.lines().find_map(begins).or_else(inside)
}

/// The first number in a text, and the one behind its point.
fn version(text: impl AsRef<str>) -> Option<Version> {
    let text = text.as_ref();
    let from = &text[text.find(|sign: char| sign.is_ascii_digit())?..];
    let mut numbers = from.split(|sign: char| !sign.is_ascii_digit()).map(|part| part.parse().ok());
    let major = numbers.next()??;
    let has_minor =
        from[from.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(from.len())..].starts_with('.');
    Some((major, if has_minor { numbers.next().flatten().unwrap_or(0) } else { 0 }))
}

/// The part of a constraint that is worth showing.
fn plain(constraint: &str) -> String {
    let trimmed = constraint.trim().trim_end_matches(',').trim_matches('"');
    trimmed.chars().filter(|sign| !sign.is_control()).take(30).collect()
}

/// Whether a constraint as these languages write them (`>=3.9,<4`, `^8.1 || ^8.2`) permits a version. What it does not
/// understand it takes for permitted: the client has the last word.
fn admits(constraint: &str, have: Version) -> bool {
    constraint.replace("||", "|").split('|').any(|part| permits(part, have))
}

fn permits(mut part: &str, have: Version) -> bool {
    while let Some(at) = part.find(|sign: char| "<>=!~^".contains(sign)) {
        let operator_ends =
            part[at..].find(|sign: char| !"<>=!~^".contains(sign)).map_or(part.len(), |end| at + end);
        let operator = &part[at..operator_ends];
        part = &part[operator_ends..];
        let Some(than) = version(part.split([',', '"']).next().unwrap_or_default()) else { continue };
        let same_major = have.0 == than.0;
        let holds = match operator {
            ">=" => have >= than,
            ">" => have >= than,
            "<" => have < than,
            "<=" => have <= than,
            "^" | "~" | "~=" => have >= than && same_major,
            "==" | "===" | "=" => have == than || (same_major && !part.trim_start().contains('.')),
            _ => true,
        };
        if !holds {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_held_against_a_version() {
        for (constraint, permitted) in [
            ("\">=3.9,<4.0\"", true),
            ("\">=3.12\"", false),
            ("\"<3.13,>=3.9\"", true),
            ("\"<3.11\"", false),
            ("^3.8", true),
            ("^3.12", false),
            ("~=3.11", true),
            ("==3.11.*", true),
            ("==3.12.*", false),
            (">= 3.12", false),
            ("^3.12 || ^3.10", true),
            ("^2.7 || ^3.12", false),
            ("*", true),
            ("", true),
            ("!=3.11.4", true),
            (">=99999999999999999999", true),
            ("\u{661}<>=~^", true),
        ] {
            assert_eq!(admits(constraint, PYTHON), permitted, "{constraint}");
        }
    }

    #[test]
    fn versions_are_the_first_number() {
        for (text, expected) in [
            ("3", Some((3, 0))),
            (" '9.0'", Some((9, 0))),
            ("\n   ruby 3.1.2p20", Some((3, 1))),
            ("go1.22.1", Some((1, 22))),
            ("1.", Some((1, 0))),
            ("none", None),
            ("99999999999", None),
            ("1.99999999999", Some((1, 0))),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }
}
