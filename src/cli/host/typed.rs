//! What is wrong with a command line, told by its flags: nobody wrote the document that it stands for.

use crate::kit::{Pointed, Problem, pointed};

/// Flags by the key that they become; `*` is any one key. The first that begins a finding's keys counts.
const FLAGS: [(&[&str], &str); 16] = [
    (&["spec", "agent", "args"], "--arg"),
    (&["spec", "agent"], "AGENT"),
    (&["spec", "kits"], "--kit"),
    (&["spec", "workspace", "mode"], "--mode"),
    (&["spec", "workspace"], "PATH"),
    (&["spec", "workingDir"], "--workdir"),
    (&["spec", "mounts"], "--mount"),
    (&["spec", "env"], "--env"),
    (&["spec", "secrets"], "--secret"),
    (&["spec", "ports"], "--publish"),
    (&["spec", "network", "rules", "*", "deny"], "--deny"),
    (&["spec", "network", "rules"], "--allow"),
    (&["spec", "template"], "--template"),
    (&["spec", "resources", "cpus"], "--cpus"),
    (&["spec", "resources", "memory"], "--memory"),
    (&["spec", "resources", "disk"], "--disk"),
];

/// What the author of a file is told to write, by a part of it, and what to type in its place.
const HINTS: [(&str, &str); 5] = [
    ("mode: direct", "name a folder: `.` lets the agent write there, `.:ro` keeps it from writing"),
    ("; for another host write", "; for another host, a file says how it is injected"),
    (
        "add `protocol:`",
        "add it later: `cofferdam policy allow network PATTERN --protocol http|https|tls|tcp`",
    ),
    ("add under network.rules", "add --allow with that host"),
    (", or ask: `ask`", ""),
];

/// What to say of a finding in a command line's document, and what to do; none where it is in a file.
pub(super) fn tell(problem: &Problem) -> Option<(String, Option<String>)> {
    let pointed = pointed(problem)?;
    Some((message(&pointed, problem), problem.help.as_deref().map(hint)))
}

/// A finding that only informs, in one line.
pub(super) fn line(problem: &Problem) -> String {
    let Some((message, hint)) = tell(problem) else { return problem.to_line() };
    message + &hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}

fn message(pointed: &Pointed, problem: &Problem) -> String {
    // A key of the document is not what was typed.
    let message = match problem.message.strip_prefix("`spec.") {
        Some(_) => "this value is not possible",
        None => &problem.message,
    };
    let Some((flag, length)) = flag(&pointed.keys) else { return message.to_owned() };
    let named = matches!(flag, "--env" | "--arg").then(|| pointed.keys.get(length)).flatten();
    match named.or(pointed.value.as_ref()) {
        Some(word) => format!("{flag} {}: {message}", as_typed(word)),
        None => format!("{flag}: {message}"),
    }
}

/// The flag for a key, and how many keys lead to it.
fn flag(keys: &[String]) -> Option<(&'static str, usize)> {
    let begins = |path: &[&str]| {
        keys.len() >= path.len() && path.iter().zip(keys).all(|(part, key)| *part == "*" || part == key)
    };
    FLAGS.iter().find(|(path, _)| begins(path)).map(|(path, flag)| (*flag, path.len()))
}

fn hint(help: &str) -> String {
    match HINTS.iter().find_map(|(part, typed)| Some((help.find(part)?, part, typed))) {
        Some((at, part, typed)) if part.starts_with([',', ';']) => format!("{}{typed}", &help[..at]),
        Some((_, _, typed)) => (*typed).to_owned(),
        None => help.to_owned(),
    }
}

/// A word as it stands on a command line.
fn as_typed(word: &str) -> String {
    let plain = |sign: char| sign.is_alphanumeric() || "-_./:@=,+%~".contains(sign);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
