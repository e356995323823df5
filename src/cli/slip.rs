//! Command lines that the parser refuses and that deserve a better word than it has: a file without `-f`, and
//! commands of the contract that a later release brings.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

/// Commands of the contract that are not there yet, and what does the like now.
const LATER: [(&str, &str); 28] = [
    ("watch", "`cofferdam apply` makes the machines what the files say, once"),
    ("diff", ""),
    ("review", ""),
    ("merge", ""),
    ("branch", ""),
    ("push", ""),
    ("sync", ""),
    ("discard", ""),
    ("attach", "`cofferdam run NAME` goes on with a sandbox"),
    ("ssh", "`cofferdam exec -it NAME -- bash` opens a shell"),
    ("ssh-config", ""),
    ("cp", "`cofferdam exec NAME -- cat FILE` prints a file; standard input is passed in"),
    (
        "inspect",
        "`cofferdam export NAME` prints what a sandbox is made of, `cofferdam status NAME` where it stands",
    ),
    ("prune", "`cofferdam rm NAME` removes a sandbox, `cofferdam template rm --unused` templates"),
    ("cache", "`cofferdam template ls` shows what is kept"),
    ("mcp", ""),
    ("org", ""),
    ("dashboard", ""),
    ("top", ""),
    ("secret set", "a source stands in the configuration: `secrets: {sources: {NAME: {env: VARIABLE}}}`"),
    ("secret set-custom", "a Service document in a file describes one"),
    ("secret login", ""),
    ("secret rm", "remove its source from the configuration"),
    ("secret import", ""),
    ("secret which", "`cofferdam secret ls` shows each source"),
    ("policy test", "`cofferdam policy check network URL` asks for one request"),
    ("policy lint", "`cofferdam check` reports what a file has too wide"),
    ("audit export", "`cofferdam audit query -o json` prints events"),
];

/// A better word for what the parser refuses, where there is one.
pub(super) fn told(error: &clap::Error, arguments: &[OsString]) -> Option<Failure> {
    match error.kind() {
        ErrorKind::InvalidSubcommand => later(&refused(error, ContextKind::InvalidSubcommand)?, arguments),
        ErrorKind::UnknownArgument => file(&refused(error, ContextKind::InvalidArg)?, arguments),
        _ => None,
    }
}

fn refused(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        _ => None,
    }
}

fn later(word: &str, arguments: &[OsString]) -> Option<Failure> {
    let before = before(word, arguments);
    let whole = before.map_or_else(|| word.to_owned(), |before| format!("{before} {word}"));
    let (name, instead) = LATER.iter().find(|(name, _)| *name == whole || *name == word)?;
    let failure = Failure::not_available(&format!("`cofferdam {name}`"));
    Some(if instead.is_empty() { failure } else { failure.hint(*instead) })
}

/// A word that looks like a file, after a command that takes files with `-f`.
fn file(word: &str, arguments: &[OsString]) -> Option<Failure> {
    let command = arguments.get(1)?.to_str()?;
    let takes = ["check", "plan", "apply", "delete", "update"].contains(&command);
    let like = word.ends_with(".yaml") || word.ends_with(".yml") || word == "." || word.contains('/');
    (takes && like && !word.starts_with('-')).then(|| {
        Failure::usage("usage", format!("`{word}` has no place here"))
            .hint(format!("a file or folder is named with -f: `cofferdam {command} -f {word}`"))
    })
}

/// The word before another one, where that is a command too.
fn before<'a>(word: &str, arguments: &'a [OsString]) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == word)?;
    let before = arguments.get(at.checked_sub(1).filter(|at| *at > 0)?)?.to_str()?;
    (!before.starts_with('-')).then_some(before)
}

/// A command that is here must not be told to come later.
#[cfg(test)]
pub(super) fn assert_none_is_here(cli: &clap::Command) {
    for (name, _) in LATER {
        let mut command = Some(cli);
        for word in name.split(' ') {
            command = command.and_then(|command| command.find_subcommand(word));
        }
        assert!(command.is_none(), "{name}");
    }
}
