//! From the bytes of a file to its documents: envelope first, then schema, then type.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;

use super::{
    de,
    findings::Findings,
    parse,
    problem::{Code, Span, quoted},
    schema::{SchemaName, schema},
    shape::{self, Shape},
    tree::{Kind, Node},
    validate::{similar, validate},
    wire::{
        agent::{Agent, Mixin},
        envelope::{API_VERSION, AgentKind, Document, MixinKind, SandboxKind, ServiceKind},
        sandbox::Sandbox,
        secret::Service,
    },
};

/// Name of the file in a kit's folder.
pub const KIT_FILE: &str = "kit.yaml";

/// A document of any kind.
#[derive(Debug)]
pub(super) enum AnyDocument {
    Sandbox(Box<Document<SandboxKind, Sandbox>>, Soundness),
    Agent(Box<Document<AgentKind, Agent>>),
    Mixin(Box<Document<MixinKind, Mixin>>),
    Service(Box<Document<ServiceKind, Service>>),
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
    pub(super) fn identity(&self) -> (&'static str, &str, Span) {
        let (kind, metadata) = match self {
            Self::Sandbox(document, _) => ("Sandbox", &document.metadata),
            Self::Agent(document) => ("Agent", &document.metadata),
            Self::Mixin(document) => ("Mixin", &document.metadata),
            Self::Service(document) => ("Service", &document.metadata),
        };
        (kind, &metadata.name.0, metadata.name.span)
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
    let (nodes, mut findings) = parse::documents(name, bytes);
    let documents = nodes.iter().filter_map(|node| document(node, &mut findings)).collect();
    Read { documents, found: nodes.len(), findings }
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

fn document(node: &Node, findings: &mut Findings) -> Option<AnyDocument> {
    let before = findings.errors();
    match kind(node, findings)? {
        SchemaName::Sandbox => {
            let document = typed(node, SchemaName::Sandbox, findings)?;
            let sound = findings.errors() == before;
            Some(AnyDocument::Sandbox(document, if sound { Soundness::Whole } else { Soundness::Partial }))
        }
        SchemaName::Agent => typed(node, SchemaName::Agent, findings).map(AnyDocument::Agent),
        SchemaName::Mixin => typed(node, SchemaName::Mixin, findings).map(AnyDocument::Mixin),
        SchemaName::Service => typed(node, SchemaName::Service, findings).map(AnyDocument::Service),
        SchemaName::Config => None,
    }
}

/// Validates and reads a node. Where something is wrong, what can be read of the rest still is, for the checks
/// that follow.
pub(super) fn typed<T: DeserializeOwned>(
    node: &Node,
    name: SchemaName,
    findings: &mut Findings,
) -> Option<T> {
    let before = findings.errors();
    validate(node, shape(name), findings);
    let wrong = findings.error_places(before);
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
            let problem = findings.at(Code::NotAvailable, kind.span, "kind `OrgPolicy` is not available yet");
            findings.push(problem.help("remove the document for now"));
            return None;
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
