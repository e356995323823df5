//! From the bytes of a file to its documents: envelope first, then schema, then type.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;

use super::{
    de,
    findings::Findings,
    near::similar,
    parse,
    problem::{Code, Source, Span, quoted},
    schema::{SchemaName, schema},
    shape::{self, Shape},
    spanned::Spanned,
    tree::{Kind, Node},
    validate::validate,
    wire::{
        envelope::{API_VERSION, Document, OrgPolicyKind, SandboxKind, ServiceKind},
        org::OrgPolicy,
        sandbox::Sandbox,
        secret::Service,
    },
};

/// Name of the file in a kit's folder.
pub const KIT_FILE: &str = "kit.yaml";

/// A document of any kind.
#[derive(Debug)]
pub(super) enum AnyDocument {
    Sandbox(Box<SandboxDocument>),
    /// An agent's kit or a mixin: what it says depends on its arguments, so it is held against its schema when it is
    /// used.
    Kit(KitDocument),
    Service(Box<Document<ServiceKind, Service>>),
    OrgPolicy(Box<Document<OrgPolicyKind, OrgPolicy>>),
}

/// A document of kind Sandbox.
#[derive(Debug)]
pub(super) struct SandboxDocument {
    pub(super) document: Document<SandboxKind, Sandbox>,
    pub(super) soundness: Soundness,
    /// As it is written.
    pub(super) node: Node,
}

/// A document of kind Agent or Mixin.
#[derive(Debug, Clone)]
pub(super) struct KitDocument {
    pub(super) kind: SchemaName,
    /// Its name, where one can be read.
    pub(super) name: Option<Spanned<String>>,
    pub(super) node: Node,
}

/// Whether all of a document is there to be checked, or only what could be read of it: from what is absent nothing
/// follows then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Soundness {
    Whole,
    Partial,
}

impl AnyDocument {
    /// Kind, name, and where the name stands.
    pub(super) fn identity(&self) -> Option<(&'static str, &str, Span)> {
        let (kind, name, span) = match self {
            Self::Sandbox(sandbox) => {
                let name = &sandbox.document.metadata.name;
                ("Sandbox", name.0.as_str(), name.span)
            }
            Self::Kit(kit) => {
                let name = kit.name.as_ref()?;
                (if kit.kind == SchemaName::Agent { "Agent" } else { "Mixin" }, name.as_str(), name.span)
            }
            Self::Service(document) => {
                ("Service", document.metadata.name.0.as_str(), document.metadata.name.span)
            }
            Self::OrgPolicy(document) => {
                ("OrgPolicy", document.metadata.name.0.as_str(), document.metadata.name.span)
            }
        };
        Some((kind, name, span))
    }
}

/// The documents of a file and what is wrong with it. `found` counts documents of any sort.
pub(super) struct Read {
    pub(super) documents: Vec<AnyDocument>,
    pub(super) findings: Findings,
    pub(super) found: usize,
}

/// Reads a file.
pub(super) fn read(name: &str, bytes: &[u8]) -> Read {
    read_nodes(parse::documents(name, bytes))
}

/// Reads a text that findings point into as `source`.
pub(super) fn read_of(source: Source, text: &str) -> Read {
    read_nodes(parse::documents_of(source, text))
}

fn read_nodes((nodes, mut findings): (Vec<Node>, Findings)) -> Read {
    let found = nodes.len();
    let sandbox = SchemaName::Sandbox;
    let documents = nodes.into_iter().filter_map(|node| document(node, sandbox, &mut findings)).collect();
    Read { documents, findings, found }
}

/// Reads a file beside another one, whose sandboxes need not say everything.
pub(super) fn read_local(name: &str, bytes: &[u8]) -> Read {
    let (nodes, mut findings) = parse::documents(name, bytes);
    let found = nodes.len();
    let local = SchemaName::Local;
    let documents = nodes.into_iter().filter_map(|node| document(node, local, &mut findings)).collect();
    Read { documents, findings, found }
}

/// The schemas, made ready once.
pub(super) fn shape(name: SchemaName) -> &'static Shape {
    static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
        let ready =
            |name| shape::compile(&schema(name)).expect("a test compiles every schema that is generated");
        SchemaName::ALL.map(ready).into()
    });
    &SHAPES[name as usize]
}

fn document(node: Node, sandbox: SchemaName, findings: &mut Findings) -> Option<AnyDocument> {
    let before = findings.errors();
    match kind(&node, findings)? {
        SchemaName::Sandbox => {
            let document = typed(&node, sandbox, findings)?;
            let sound = findings.errors() == before;
            let soundness = if sound { Soundness::Whole } else { Soundness::Partial };
            Some(AnyDocument::Sandbox(Box::new(SandboxDocument { document, soundness, node })))
        }
        kind @ (SchemaName::Agent | SchemaName::Mixin) => {
            let name = node.get("metadata").and_then(|metadata| metadata.get("name"));
            let name =
                name.and_then(|name| Some(Spanned { value: name.text()?.to_owned(), span: name.span }));
            Some(AnyDocument::Kit(KitDocument { kind, name, node }))
        }
        SchemaName::Service => typed(&node, SchemaName::Service, findings).map(AnyDocument::Service),
        SchemaName::OrgPolicy => typed(&node, SchemaName::OrgPolicy, findings).map(AnyDocument::OrgPolicy),
        SchemaName::Local | SchemaName::Config => None,
    }
}

/// Validates and reads a node. Where something is wrong, what can be read of the rest still is, for the checks
/// that follow.
pub(super) fn typed<T: DeserializeOwned>(
    node: &Node,
    name: SchemaName,
    findings: &mut Findings,
) -> Option<T> {
    typed_beside(node, name, Vec::new(), findings)
}

/// The same for a node of which some places, by their first bytes, are left open.
pub(super) fn typed_beside<T: DeserializeOwned>(
    node: &Node,
    name: SchemaName,
    open: Vec<u32>,
    findings: &mut Findings,
) -> Option<T> {
    let before = findings.errors();
    validate(node, shape(name), findings);
    if findings.has(Code::TooLarge, before) {
        return None;
    }
    let mut wrong = findings.error_places(before);
    wrong.extend(open);
    wrong.sort_unstable();
    match de::read(node, &wrong) {
        Ok(typed) => Some(typed),
        Err(_) if !wrong.is_empty() => None,
        Err(mismatch) => {
            let span = mismatch.span.unwrap_or(node.head());
            let problem = findings.at(Code::WrongValue, span, mismatch.message);
            findings.push(problem.help("the schema allows this and the program does not: please report it"));
            None
        }
    }
}

/// Which kind a document is of, or why it is none of ours.
fn kind(node: &Node, findings: &mut Findings) -> Option<SchemaName> {
    let foreign = |findings: &mut Findings, span, message: String| {
        let problem = findings.at(Code::ForeignDocument, span, message);
        let help = format!(
            "other tools use the name sandbox.yaml too; a document of Cofferdam begins with `apiVersion: {API_VERSION}` and `kind:`"
        );
        findings.push(problem.help(help));
        None
    };
    if !matches!(node.kind, Kind::Map(_)) {
        return foreign(
            findings,
            node.head(),
            format!("a document must be a mapping, not {}", node.kind.word()),
        );
    }
    let Some(version) = node.get("apiVersion") else {
        return foreign(
            findings,
            node.head(),
            "this document has no `apiVersion`: it is not one of Cofferdam's".to_owned(),
        );
    };
    match version.text() {
        Some(API_VERSION) => {}
        Some(other) if other.starts_with("cofferdam.dev/") => {
            let message = format!("this version of Cofferdam does not know {}", quoted(other));
            let problem = findings.at(Code::ForeignDocument, version.span, message);
            findings.push(problem.help(format!("write {API_VERSION}, or use a newer version of Cofferdam")));
            return None;
        }
        _ => {
            let written = findings.source().slice(version.head()).to_owned();
            return foreign(
                findings,
                version.head(),
                format!("{} is not Cofferdam's apiVersion", quoted(&written)),
            );
        }
    }
    let Some((key, kind)) = node.entry("kind") else {
        let problem = findings.at(Code::MissingKey, node.head(), "the document lacks `kind`");
        findings.push(problem.help("add `kind: Sandbox`"));
        return None;
    };
    known_kind(key.span, kind, findings)
}

fn known_kind(key: Span, kind: &Node, findings: &mut Findings) -> Option<SchemaName> {
    const KINDS: [&str; 5] = ["Sandbox", "Agent", "Mixin", "Service", "OrgPolicy"];
    let name = match kind.text() {
        Some("Sandbox") => SchemaName::Sandbox,
        Some("Agent") => SchemaName::Agent,
        Some("Mixin") => SchemaName::Mixin,
        Some("Service") => SchemaName::Service,
        Some("OrgPolicy") => {
            let message =
                "kind `OrgPolicy` is not available yet: its form is checked, and nothing enforces it";
            let problem = findings.at(Code::NotAvailable, kind.span, message);
            findings.push(
                problem.label("not available yet").help("keep it out of the files that are applied for now"),
            );
            SchemaName::OrgPolicy
        }
        other => {
            let message = match other {
                Some(text) => format!("unknown kind {}", quoted(text)),
                None => format!("`kind` must be text, not {}", kind.kind.word()),
            };
            let near = other.and_then(|text| similar(text, KINDS.into_iter()));
            let help = near.map_or_else(
                || format!("write one of {}", KINDS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let span = if other.is_some() { kind.span } else { key };
            let problem = findings.at(Code::UnknownName, span, message);
            findings.push(problem.help(help));
            return None;
        }
    };
    Some(name)
}
