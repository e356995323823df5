//! Reading a spec: what is taken from it, and what is said of the rest.

use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::kit::{
    findings::Findings,
    problem::{Code, Problem, Span, quoted},
    tree::{Key, Kind, Node},
};

/// Most items of one list: far beyond use.
const ITEMS_MAX: usize = 1_000;

/// Keys that are known and have no equivalent, with what to do.
const LOST: [(&str, &str); 9] = [
    ("mixins", "name them under `kits:` of the sandbox"),
    ("security", "the agent has a kernel of its own and sudo in it: nothing here is more privileged"),
    ("volumes", "home and workspace outlive a replaced system disk; other folders do not"),
    ("sandbox.build", "images are not built from a Dockerfile; write the steps under `install`"),
    ("tmpfs", "/tmp is the sandbox's own"),
    ("settings", "write what it sets"),
    ("kitDir", "not needed"),
    ("persistence", "the disk stays until the sandbox is removed"),
    ("oauth", "only a key that is kept by the operator can be injected yet"),
];

/// A spec while it is read.
pub(super) struct Spec {
    findings: Findings,
    pub(super) kit: String,
    /// Name of the file with instructions, where the draft says it beside the image.
    pub(super) instructions: Option<String>,
    /// Hosts, as they are written, that a key is injected at: HTTPS is spoken there.
    injected: Vec<String>,
}

impl Spec {
    pub(super) fn new(findings: Findings) -> Self {
        Self { findings, kit: String::new(), instructions: None, injected: Vec::new() }
    }

    /// The kit's name and what stands elsewhere in the document are known from here on.
    pub(super) fn begin(&mut self, kit: &str, document: &Node) {
        kit.clone_into(&mut self.kit);
        let name = document.get("sandbox").and_then(|sandbox| sandbox.get("aiFilename"));
        self.instructions = name.and_then(Node::text).map(str::to_owned);
        let items = |node: Option<&Node>| match node.map(|node| &node.kind) {
            Some(Kind::List(items)) => items.clone(),
            _ => Vec::new(),
        };
        for credential in items(document.get("credentials")) {
            for place in items(credential.get("apiKey").and_then(|key| key.get("inject"))) {
                self.injected.extend(place.get("domain").and_then(Node::text).map(str::to_owned));
            }
        }
    }

    /// Whether a key is injected at a host that is written so.
    pub(super) fn takes_a_key(&self, host: &str) -> bool {
        self.injected.iter().any(|injected| injected == host)
    }

    /// `imported from NAME, spec.yaml:LINE`.
    pub(super) fn why(&self, node: &Node) -> String {
        format!("imported from {}, {}:{}", self.kit, super::SPEC_FILE, node.span.line)
    }

    pub(super) fn empty(&mut self) {
        // A file that is not YAML has said so already.
        if self.findings.errors() == 0 {
            let problem = self.findings.at(
                Code::MissingKey,
                Span { line: 1, column: 1, ..Span::default() },
                "the file is empty",
            );
            self.findings.push(problem);
        }
    }

    pub(super) fn wrong(
        &mut self,
        node: &Node,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(self.findings.at(code, node.head(), message).help(help));
    }

    /// Reports what is not carried over.
    pub(super) fn lost(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.findings.at(Code::Note, node.head(), message).help(help);
        self.findings.push(problem.as_warning());
    }

    /// Reports a key that is not carried over.
    pub(super) fn lost_key(&mut self, key: &Key, path: &str) {
        let known = LOST.iter().find(|(known, _)| *known == path);
        let message = match known {
            Some(_) => format!("{} has no equivalent here", quoted(path)),
            None => format!("{} is not known, and not carried over", quoted(path)),
        };
        let problem = self.findings.at(Code::Note, key.span, message);
        let help = known.map_or("look at what it does, and write it in our words", |(_, help)| help);
        self.findings.push(problem.help(help).as_warning());
    }

    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        match &node.kind {
            Kind::Map(entries) if entries.len() <= ITEMS_MAX => entries,
            Kind::Null => &[],
            kind => {
                self.wrong(
                    node,
                    Code::WrongType,
                    format!("{what} is a mapping with at most {ITEMS_MAX} keys, not {}", kind.word()),
                    "correct it there",
                );
                &[]
            }
        }
    }

    pub(super) fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) if items.len() <= ITEMS_MAX => items,
            Kind::Null => &[],
            kind => {
                self.wrong(
                    node,
                    Code::WrongType,
                    format!("{what} is a list of at most {ITEMS_MAX}, not {}", kind.word()),
                    "correct it there",
                );
                &[]
            }
        }
    }

    /// A text, a number or a truth value as text, with `${{ kit.args.x }}` in our words.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        let text = match &node.kind {
            Kind::Text(text) => text.clone(),
            Kind::Int(number) => number.to_string(),
            Kind::Float(number) => number.to_string(),
            Kind::Bool(value) => value.to_string(),
            kind => {
                self.wrong(
                    node,
                    Code::WrongType,
                    format!("a text is needed here, not {}", kind.word()),
                    "correct it there",
                );
                return None;
            }
        };
        Some(arguments_in_our_words(&text))
    }

    /// A list of texts; one text counts as a list of it.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        if let Kind::Text(_) = node.kind {
            return self.text(node).into_iter().collect();
        }
        self.items(node, what).iter().filter_map(|item| self.text(item)).collect()
    }

    /// Errors, and reports.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        self.findings.into_parts()
    }
}

/// A text with `${{ args.x }}` where `${{ kit.args.x }}` stands.
pub(super) fn arguments_in_our_words(text: &str) -> String {
    static WRITTEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\$\{\{\s*kit\.args\.([A-Za-z0-9_-]+)\s*\}\}").expect("the expression is right")
    });
    WRITTEN.replace_all(text, "$${{ args.$1 }}").into_owned()
}

/// Appends to a list that may not be there yet; `path` leads to it.
pub(super) fn append(body: &mut Map<String, Value>, path: &[&str], item: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    let empty = if rest.is_empty() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    match (body.entry((*first).to_owned()).or_insert(empty), rest) {
        (Value::Array(items), []) => items.push(item),
        (Value::Object(inner), rest) => append(inner, rest, item),
        _ => {}
    }
}
