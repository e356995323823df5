//! Reading `.cofferdam/approvals.yaml`. It lies in the repository: an agent may have written it. What its texts mean as
//! grants is for `plan` to say.

use std::collections::BTreeMap;

use super::{
    findings::Findings,
    near::similar,
    parse,
    problem::{Code, Problem, quoted},
    tree::{Key, Kind, Node},
    wire::envelope::API_VERSION,
};
use crate::model::{config::WrittenGrant, end::End, name::Name, remote::RemoteName};

/// Its kind.
pub const APPROVALS_KIND: &str = "Approvals";
/// Most grants of one file: what a person can be asked to read, many times over.
const GRANTS_MAX: usize = 4_096;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommittedApprovals {
    /// Of which repository it is.
    pub repository: Option<RemoteName>,
    /// Texts of grants by definition, each with its end.
    pub definitions: BTreeMap<Name, Vec<(WrittenGrant, Option<End>)>>,
}

/// Reads it. `name` is how its user knows it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn approvals(name: &str, bytes: &[u8]) -> Result<CommittedApprovals, Vec<Problem>> {
    let (nodes, findings) = parse::documents(name, bytes);
    let mut reader = Reader { findings, grants: 0 };
    let read = match nodes.as_slice() {
        [node] => reader.document(node),
        [] if reader.findings.errors() == 0 => {
            let empty = Node { span: Default::default(), kind: Kind::Null };
            reader.wrong(&empty, "this file is empty");
            CommittedApprovals::default()
        }
        [] => CommittedApprovals::default(),
        [_, second, ..] => {
            reader.wrong(second, "approvals are one document");
            CommittedApprovals::default()
        }
    };
    match reader.findings.into_parts().0 {
        errors if errors.is_empty() => Ok(read),
        errors => Err(errors),
    }
}

struct Reader {
    findings: Findings,
    grants: usize,
}

impl Reader {
    fn wrong(&mut self, node: &Node, message: impl Into<String>) {
        let problem = self.findings.at(Code::WrongValue, node.head(), message);
        self.findings.push(problem.help("`cofferdam approve NAME --commit` writes the file"));
    }

    fn unknown(&mut self, key: &Key, known: &[&'static str]) {
        let message = format!("unknown key {}", quoted(&key.text));
        let problem = self.findings.at(Code::UnknownKey, key.span, message);
        self.findings.push(match similar(&key.text, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("known here: {}", known.join(", "))),
        });
    }

    fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        if let Kind::Map(entries) = &node.kind {
            return entries;
        }
        self.wrong(node, format!("{what} is a mapping, not {}", node.kind.word()));
        &[]
    }

    fn document(&mut self, node: &Node) -> CommittedApprovals {
        let mut read = CommittedApprovals::default();
        let says = |key: &str, value: &str| node.get(key).and_then(Node::text) == Some(value);
        if !says("apiVersion", API_VERSION) || !says("kind", APPROVALS_KIND) {
            self.wrong(node, format!("this is not `apiVersion: {API_VERSION}` and `kind: {APPROVALS_KIND}`"));
            return read;
        }
        for (key, value) in self.entries(node, "the document") {
            match key.text.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => read.repository = self.repository(value),
                "spec" => read.definitions = self.definitions(value),
                _ => self.unknown(key, &["apiVersion", "kind", "metadata", "spec"]),
            }
        }
        read
    }

    fn repository(&mut self, node: &Node) -> Option<RemoteName> {
        let mut named = None;
        for (key, value) in self.entries(node, "`metadata`") {
            if key.text != "repository" {
                self.unknown(key, &["repository"]);
                continue;
            }
            let text = value.text().unwrap_or_default();
            match text.parse() {
                Ok(name) => named = Some(name),
                Err(error) => self.wrong(value, format!("{}: {error}", quoted(text))),
            }
        }
        named
    }

    fn definitions(&mut self, node: &Node) -> BTreeMap<Name, Vec<(WrittenGrant, Option<End>)>> {
        let mut definitions = BTreeMap::new();
        for (key, value) in self.entries(node, "`spec`") {
            let name = match key.text.parse::<Name>() {
                Ok(name) => name,
                Err(error) => {
                    let message = format!("{}: {error}", quoted(&key.text));
                    self.findings.push(self.findings.at(Code::WrongValue, key.span, message));
                    continue;
                }
            };
            let Kind::List(items) = &value.kind else {
                self.wrong(value, format!("what {name} may is a list of grants, not {}", value.kind.word()));
                continue;
            };
            let grants = items.iter().map_while(|item| self.counted(item));
            definitions.insert(name, grants.flatten().collect());
        }
        definitions
    }

    /// One grant; none of it where it is wrong, and an end where there are too many.
    fn counted(&mut self, node: &Node) -> Option<Option<(WrittenGrant, Option<End>)>> {
        self.grants += 1;
        if self.grants == GRANTS_MAX + 1 {
            let message = format!("this file has more than {GRANTS_MAX} grants, which nobody can judge");
            let problem = self.findings.at(Code::TooLarge, node.head(), message).label("from here on");
            self.findings.push(problem.help("name hosts and paths by patterns: `**.acme.example`"));
        }
        (self.grants <= GRANTS_MAX).then(|| self.grant(node))
    }

    fn grant(&mut self, node: &Node) -> Option<(WrittenGrant, Option<End>)> {
        let written = |node: &Node| {
            let text = node.text()?.to_owned();
            Some(WrittenGrant { text, line: node.span.line, column: node.span.column })
        };
        if let Some(grant) = written(node) {
            return Some((grant, None));
        }
        let (mut grant, mut until) = (None, None);
        for (key, value) in self.entries(node, "a grant that ends") {
            match key.text.as_str() {
                "grant" => grant = written(value),
                "until" => match value.text().unwrap_or_default().parse::<End>() {
                    Ok(end) => until = Some(end),
                    Err(error) => self.wrong(value, error.to_string()),
                },
                _ => self.unknown(key, &["grant", "until"]),
            }
        }
        if grant.is_none() || until.is_none() {
            self.wrong(node, "a grant that ends has `grant` and `until`");
        }
        Some((grant?, Some(until?)))
    }
}
