//! Other tools' files as drafts of ours: `devcontainer.json` and `sbxenv.yaml`.
//!
//! Pure: bytes in, a [`Draft`] and a list of what has no equivalent out. Nothing is dropped silently: every key is
//! either in the draft or in the list, with its line and the reason. No command of such a file is ever run, and what
//! would have run on the host has no place in a draft.

mod devcontainer;
#[cfg(test)]
mod hostile;
mod jsonc;
mod sbxenv;
#[cfg(test)]
mod tests;

pub use devcontainer::devcontainer;
pub use sbxenv::sbxenv;

use serde::Serialize;

use super::{
    draft::{Draft, Entry, From, Place},
    problem::{Code, Problem, Span, escaped, quoted},
    tree::{Key, Kind, Node},
};

/// What came of another tool's file.
#[derive(Debug)]
pub struct Imported {
    /// The file in the making.
    pub draft: Draft,
    /// What has no place in it.
    pub unmapped: Vec<Unmapped>,
}

/// A key that has no equivalent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmapped {
    /// Its path.
    pub key: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Why, and what to do instead.
    pub reason: String,
}

/// Names of the servers in a `.mcp.json`, made visible.
///
/// # Errors
/// The first thing that makes it no such file.
pub fn mcp_servers(name: &str, bytes: &[u8]) -> Result<Vec<String>, Box<Problem>> {
    let (root, findings) =
        jsonc::read(name, bytes).map_err(|mut problems| Box::new(problems.swap_remove(0)))?;
    match root.get("mcpServers") {
        Some(servers) => Ok(entries(servers).iter().map(|(key, _)| escaped(&key.text)).collect()),
        None => Err(Box::new(findings.at(Code::MissingKey, root.head(), "it has no `mcpServers`"))),
    }
}

/// Why a key that nobody knows is left out.
const UNKNOWN: &str = "not a key that this version knows";

/// A draft while a file is read.
struct Import {
    draft: Draft,
    unmapped: Vec<Unmapped>,
}

impl Import {
    fn new(name: &str, agent: &str) -> Self {
        Self { draft: Draft::new(name, agent), unmapped: Vec::new() }
    }

    fn skip(&mut self, key: &str, span: Span, reason: impl Into<String>) {
        let (line, column) = (span.line, span.column);
        self.unmapped.push(Unmapped { key: escaped(key), line, column, reason: escaped(&reason.into()) });
    }

    fn add(&mut self, place: Place, key: &str, span: Span, text: impl Into<String>) -> &mut Entry {
        let entry = self.draft.add(place, text);
        entry.from = Some(From { key: escaped(key), line: span.line, column: span.column });
        entry
    }

    /// Keys and values of what should be a mapping; anything else is told.
    fn mapping<'a>(&mut self, key: &Key, node: &'a Node) -> &'a [(Key, Node)] {
        if !matches!(node.kind, Kind::Map(_)) {
            self.skip(&key.text, key.span, format!("a mapping is needed here, not {}", node.kind.word()));
        }
        entries(node)
    }

    /// Tells of every key of `node` that is not known.
    fn rest(&mut self, path: &str, node: &Node, known: &[&str]) {
        for (key, _) in entries(node).iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            self.skip(&format!("{path}.{}", key.text), key.span, UNKNOWN);
        }
    }

    /// The file's own name for itself as a sandbox's.
    fn title(root: &Node) -> String {
        root.get("name").and_then(Node::text).map_or_else(|| "dev".to_owned(), slug)
    }

    /// Tells of a name that is no text.
    fn named(&mut self, key: &Key, value: &Node) {
        if value.text().is_none() {
            self.skip(&key.text, key.span, format!("a name is text, not {}", value.kind.word()));
        }
    }

    /// Whether a switch is on; anything but true and false is told, and none.
    fn switch(&mut self, path: &str, of: &Node, name: &str) -> Option<bool> {
        let (key, value) = of.entry(name)?;
        match value.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                let reason = format!("it is true or false, not {}", value.kind.word());
                self.skip(&format!("{path}.{name}"), key.span, reason);
                None
            }
        }
    }

    /// A variable, unless its value asks for something of another tool's, or is a secret.
    fn variable(&mut self, key: &str, name: &Key, value: &Node, foreign: &str) {
        let path = format!("{key}.{}", name.text);
        let text = match &value.kind {
            Kind::Text(text) => text.clone(),
            Kind::Int(number) => number.to_string(),
            Kind::Bool(value) => value.to_string(),
            Kind::Null => {
                return self.skip(&path, name.span, "it takes a variable away, which has no equivalent");
            }
            other => {
                return self.skip(
                    &path,
                    name.span,
                    format!("a variable's value is text, not {}", other.word()),
                );
            }
        };
        if text.contains("${") {
            return self.skip(&path, name.span, foreign);
        }
        if is_secret(&name.text, &text) {
            return self.skip(&path, name.span, SECRET);
        }
        let line = format!("{}: {}", super::draft::scalar(&name.text), super::draft::scalar(&text));
        self.add(Place::Env, &path, name.span, line);
    }

    fn finish(self) -> Imported {
        let mut unmapped = self.unmapped;
        for entry in &self.draft.entries {
            if let (Some(from), Some(reason)) = (&entry.from, &entry.refused) {
                let (key, line, column) = (from.key.clone(), from.line, from.column);
                unmapped.push(Unmapped {
                    key,
                    line,
                    column,
                    reason: format!("proposed as a comment: {reason}"),
                });
            }
        }
        unmapped.sort_by_key(|one| (one.line, one.column));
        Imported { draft: self.draft, unmapped }
    }
}

/// Why a value that looks like a credential is left out; it is repeated nowhere.
const SECRET: &str = "it looks like a secret, which has no place in a file: `cofferdam secret set` stores it, \
`secrets` names it; renew it, for this file has told it already";

/// Whether a variable seems to hold a credential, by its name or by the form that issuers give their keys.
fn is_secret(name: &str, value: &str) -> bool {
    const NAMES: [&str; 9] = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "APIKEY",
        "API_KEY",
        "ACCESS_KEY",
        "PRIVATE_KEY",
        "CREDENTIAL",
    ];
    const FORMS: [&str; 11] =
        ["sk-", "sk_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xox", "AKIA", "AIza", "-----BEGIN"];
    // A path to the thing, a number or a switch is not the thing.
    let is_harmless = value.is_empty()
        || value.starts_with(['/', '~', '.'])
        || value.bytes().all(|byte| byte.is_ascii_digit())
        || matches!(value, "true" | "false");
    let name = name.to_ascii_uppercase();
    let holds_one =
        value.contains("://") && value.split('@').next().is_some_and(|user| user.matches(':').count() > 1);
    !is_harmless && NAMES.iter().any(|word| name.contains(word))
        || FORMS.iter().any(|form| value.starts_with(form) && value.len() > form.len() + 8)
        || (holds_one && value.contains('@'))
}

/// Keys and values of a mapping; none of anything else.
fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.kind {
        Kind::Map(entries) => entries,
        _ => &[],
    }
}

/// The items of a list; a single value counts as a list of it.
fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

fn port(node: &Node) -> Option<u16> {
    match &node.kind {
        Kind::Int(number) => u16::try_from(*number).ok().filter(|port| *port > 0),
        Kind::Text(text) => text.parse().ok().filter(|port| *port > 0),
        _ => None,
    }
}

/// A number of processors that a sandbox may have.
fn cpus(node: &Node) -> Option<u8> {
    let number = match &node.kind {
        Kind::Int(number) => u8::try_from(*number).ok(),
        Kind::Text(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| (1..=64).contains(number))
}

/// A size with somebody's unit as ours: their `gb`, `g` and `GiB` are all 1,024 MiB.
fn size(node: &Node) -> Option<String> {
    let text = match &node.kind {
        Kind::Text(text) => text.to_ascii_lowercase(),
        Kind::Int(bytes) => bytes.to_string(),
        _ => return None,
    };
    let digits = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok().filter(|number| *number > 0)?;
    let unit = match text[digits..].trim() {
        "tb" | "t" | "tib" => "TiB",
        "gb" | "g" | "gib" => "GiB",
        "mb" | "m" | "mib" => "MiB",
        "kb" | "k" | "kib" => "KiB",
        // Bytes.
        "" | "b" if number >= 1 << 20 => return Some(format!("{}MiB", number >> 20)),
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// Text brought to the form of a sandbox's name; `dev` where nothing of it can be kept.
fn slug(text: &str) -> String {
    let mut name = String::new();
    for sign in text.chars().flat_map(char::to_lowercase) {
        match sign {
            'a'..='z' | '0'..='9' => name.push(sign),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(crate::model::name::NAME_MAX);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "dev".to_owned() } else { name.to_owned() }
}
