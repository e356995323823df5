//! The document that a command line stands for. Nobody wrote it, so nobody is shown its lines: a finding in it is told
//! by the key that it points at, which the command line knows as a flag.

use super::{
    parse,
    problem::Problem,
    tree::{Kind, Node},
};

/// What such a document is called, for people and in origins.
pub const COMMAND_LINE: &str = "the command line";

/// What a finding in such a document points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointed {
    /// Keys from the document's root; items of lists by their number.
    pub keys: Vec<String>,
    /// The value there, where it is a single one.
    pub value: Option<String>,
}

/// Where a line of a file is to be named: not in a document that nobody wrote.
pub(super) fn line_of(file: &str, line: u32) -> Option<u32> {
    (file != COMMAND_LINE).then_some(line)
}

/// What a finding points at; none where its file was written by somebody.
#[must_use]
pub fn pointed(problem: &Problem) -> Option<Pointed> {
    if problem.file() != COMMAND_LINE {
        return None;
    }
    let (documents, _) = parse::documents(COMMAND_LINE, problem.source_text.text().as_bytes());
    let mut keys = Vec::new();
    let node = documents.first().map(|root| descend(root, problem.span.start, &mut keys));
    let value = node.and_then(|node| match &node.kind {
        Kind::Text(text) => Some(text.clone()),
        Kind::Int(number) => Some(number.to_string()),
        _ => None,
    });
    Some(Pointed { keys, value })
}

/// The innermost node that holds a byte.
fn descend<'a>(node: &'a Node, byte: u32, keys: &mut Vec<String>) -> &'a Node {
    let inner = match &node.kind {
        Kind::Map(entries) => {
            // What follows a key, up to the next one, is its value's.
            let entry = entries.iter().rev().find(|(key, _)| key.span.start <= byte);
            entry.map(|(key, value)| (key.text.clone(), value))
        }
        Kind::List(items) => {
            let at = items.iter().rposition(|item| item.span.start <= byte);
            at.map(|at| (at.to_string(), &items[at]))
        }
        _ => None,
    };
    match inner {
        Some((key, value)) => {
            keys.push(key);
            descend(value, byte, keys)
        }
        None => node,
    }
}

#[test]
fn a_finding_is_told_by_its_key() {
    use super::problem::{Code, Source};
    let text = r#"{"kind":"Sandbox","spec":{"kits":["a","b"],"network":{"rules":[{"allow":"a b"}]}}}"#;
    let find = |file: &str, what: &str| {
        let at = parse::place(text, text.find(what).unwrap());
        pointed(&Problem::new(Code::Pattern, &Source::new(file, text), at, "wrong"))
    };
    for (what, keys, value) in [
        ("\"b\"", "spec kits 1", Some("b")),
        ("\"a b\"", "spec network rules 0 allow", Some("a b")),
        ("{\"allow\"", "spec network rules 0", None),
        ("{\"kind\"", "", None),
    ] {
        let found = find(COMMAND_LINE, what).unwrap();
        assert_eq!((found.keys.join(" ").as_str(), found.value.as_deref()), (keys, value), "{what}");
    }
    assert_eq!(find("sandbox.yaml", "\"b\""), None);
}
