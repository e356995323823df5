//! Kits of Docker Sandboxes: `spec.yaml`, schema 2 and the draft that went before it, read as an Agent or a Mixin.
//!
//! The result is the text of a `kit.yaml` of ours, checked like any other. What has no equivalent here is reported with
//! its line; what was implied (a port, a protocol) is written out; each grant says where it came from. The bytes may be
//! anybody's: `parse` bounds them, and nothing is run or fetched.
//!
//! Schema 1 is another format and schema 3 an image: both are refused with what they are.

mod agent;
mod emit;
mod guest;
mod network;
mod secrets;
mod spec;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use self::spec::Spec;
use super::{
    parse,
    problem::{Code, Problem, Source, Span, quoted},
    sets::is_name,
    tree::{Kind, Node},
    wire::envelope::API_VERSION,
};

/// Name of the file in a kit's folder.
pub const SPEC_FILE: &str = "spec.yaml";
/// How the names of arguments begin, in the spec and in the files beside it.
pub(super) const ARGUMENTS: &str = "kit.args.";

/// A file of a kit with the names of arguments in our words, as they stand in the spec that became ours.
#[must_use]
pub fn in_our_words(bytes: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains(ARGUMENTS) => spec::arguments_in_our_words(text).into_bytes(),
        _ => bytes,
    }
}

/// A kit of Docker Sandboxes as ours.
#[derive(Debug)]
pub struct Imported {
    /// `Agent` or `Mixin`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The text of `kit.yaml`.
    pub text: String,
    /// What is not carried over, or not quite, each with its line.
    pub reports: Vec<Problem>,
    /// That text as findings point into it: they are told where its words stand in the spec.
    pub source: Source,
}

/// Reads a `spec.yaml`. `name` is how its user knows the file.
///
/// # Errors
/// Everything that keeps it from being a kit of ours.
pub fn import(name: &str, bytes: &[u8]) -> Result<Imported, Vec<Problem>> {
    let (nodes, findings) = parse::documents(name, bytes);
    let original = findings.source().clone();
    let mut spec = Spec::new(findings);
    let imported = match nodes.as_slice() {
        [node] => document(node, &mut spec),
        [] => {
            spec.empty();
            None
        }
        [_, second, ..] => {
            spec.wrong(second, Code::WrongValue, "a kit of Docker Sandboxes is one document", "split it");
            None
        }
    };
    let (mut errors, reports) = spec.into_parts();
    match imported {
        Some((kind, name, text)) if errors.is_empty() => {
            let mut words = Vec::new();
            nodes.iter().for_each(|node| words_of(node, &original, &mut words));
            let source = Source::made_of(&original, words, &text);
            Ok(Imported { kind, name, text, reports, source })
        }
        _ => {
            errors.extend(reports);
            Err(errors)
        }
    }
}

/// Keys and plain values, in the order of the file, as they are written but for quotes.
fn words_of(node: &Node, source: &Source, words: &mut Vec<(String, Span)>) {
    match &node.kind {
        Kind::Map(entries) => {
            for (key, value) in entries {
                words.push((key.text.clone(), key.span));
                words_of(value, source, words);
            }
        }
        Kind::List(items) => items.iter().for_each(|item| words_of(item, source, words)),
        _ => words.push((source.slice(node.span).trim_matches(['"', '\'']).to_owned(), node.span)),
    }
}

/// Whether bytes begin like a spec of Docker's and not like a document of ours.
#[must_use]
pub fn is_spec(bytes: &[u8]) -> bool {
    let (nodes, _) = parse::documents(SPEC_FILE, bytes);
    nodes.first().is_some_and(|node| node.get("schemaVersion").is_some() && node.get("apiVersion").is_none())
}

fn document(node: &Node, spec: &mut Spec) -> Option<(&'static str, String, String)> {
    schema(node, spec)?;
    let kind = match node.get("kind").and_then(Node::text) {
        Some("sandbox") => "Agent",
        Some("mixin") => "Mixin",
        _ => {
            let place = node.get("kind").unwrap_or(node);
            spec.wrong(place, Code::WrongValue, "`kind` is sandbox or mixin", "write one of the two");
            return None;
        }
    };
    let Some(name) = node.get("name").and_then(Node::text).filter(|name| is_name(name)) else {
        let place = node.get("name").unwrap_or(node);
        let help = "1 to 63 lower-case letters, digits and inner hyphens";
        spec.wrong(place, Code::WrongValue, "a kit needs `name` in the form of a name", help);
        return None;
    };
    spec.begin(name, node);
    let mut body = Map::new();
    let mut annotations = Map::new();
    for (key, value) in spec.entries(node, "the document").to_vec() {
        match key.text.as_str() {
            "schemaVersion" | "kind" | "name" => {}
            "version" | "displayName" | "description" | "sourceURL" => {
                annotations.extend(spec.text(&value).map(|text| (key.text.clone(), text.into())));
            }
            "licenses" => {
                let licences = spec.texts(&value, "licenses").join(", ");
                annotations.insert("licenses".to_owned(), licences.into());
            }
            "requires" => requires(&value, kind, &mut body, spec),
            "extends" if kind == "Agent" => {
                body.extend(spec.text(&value).map(|text| ("extends".to_owned(), text.into())))
            }
            "args" => agent::args(&value, &mut body, spec),
            "sandbox" if kind == "Agent" => agent::sandbox(&value, &mut body, spec),
            "agentInstructions" | "memory" | "agentContext" => {
                agent::instructions(&key, &value, kind == "Mixin", &mut body, spec)
            }
            "credentials" => secrets::credentials(&value, &mut body, spec),
            "permissions" | "caps" => network::permissions(&value, &mut body, spec),
            "ports" => guest::ports(&value, &mut body, spec),
            "environment" => guest::environment(&value, &mut body, spec),
            "setup" | "commands" => guest::setup(&value, &mut body, spec),
            "locked" => locked(&value, &mut body, spec),
            other => spec.lost_key(&key, other),
        }
    }
    if kind == "Agent" && !body.contains_key("command") && !body.contains_key("extends") {
        let help = "add `sandbox.entrypoint`: the program of the image is not looked up";
        spec.wrong(node, Code::MissingKey, "nothing says how this agent starts", help);
        return None;
    }
    if let Some(place) = node.get("setup").or_else(|| node.get("commands"))
        && body.contains_key("install")
        && !body.contains_key("network")
    {
        spec.lost(
            place,
            "the kit installs something, and no rule of it lets a step reach any host",
            "a step that fetches, as `apt-get update` does, needs one: \
             `network: {rules: [{allow: \"registry:apt\", during: setup, why: …}]}`",
        );
    }
    let mut metadata = Map::from_iter([("name".to_owned(), json!(name))]);
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), annotations.into());
    }
    let document =
        json!({ "apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": ordered(body) });
    let head = format!(
        "# Imported from the kit {name} of Docker Sandboxes. What could not be carried over is told by the import.\n"
    );
    Some((kind, name.to_owned(), head + &emit::yaml(&document)))
}

/// Keys in the order that a reader expects.
fn ordered(mut body: Map<String, Value>) -> Map<String, Value> {
    let order = [
        "extends",
        "requires",
        "args",
        "command",
        "template",
        "install",
        "env",
        "files",
        "setup",
        "network",
        "secrets",
        "ports",
        "resources",
        "locked",
    ];
    order.iter().filter_map(|key| Some(((*key).to_owned(), body.remove(*key)?))).collect()
}

fn schema(node: &Node, spec: &mut Spec) -> Option<()> {
    let (place, version) = match node.get("schemaVersion") {
        None => (node, String::new()),
        Some(found) => {
            let version = match &found.kind {
                Kind::Text(text) => text.clone(),
                Kind::Int(number) => number.to_string(),
                _ => String::new(),
            };
            (found, version)
        }
    };
    let (message, help) = match version.as_str() {
        "2" => return Some(()),
        "1" => (
            "this is schema 1 of Docker's kits, which is not read".to_owned(),
            "its `agent:` block, `network.allowedDomains` and `credentials.sources` are `sandbox`, \
             `permissions.network.allow` and `credentials` in schema 2: rewrite it, then import it",
        ),
        "3" => (
            "this is schema 3 of Docker's kits: an image whose descriptor this is".to_owned(),
            "its build and capabilities are not read; write a kit.yaml, or import a version of the kit in schema 2",
        ),
        "" => (
            "`schemaVersion` is missing".to_owned(),
            "a kit of Docker Sandboxes begins with `schemaVersion: \"2\"`; one of ours is named kit.yaml",
        ),
        other => (format!("schema {} of Docker's kits is not known", quoted(other)), "schema 2 is read"),
    };
    spec.wrong(place, Code::ForeignDocument, message, help);
    None
}

fn requires(node: &Node, kind: &str, body: &mut Map<String, Value>, spec: &mut Spec) {
    for (key, value) in spec.entries(node, "requires").to_vec() {
        match (key.text.as_str(), spec.text(&value)) {
            ("agent", Some(agent)) if kind == "Mixin" => {
                body.insert("requires".to_owned(), json!({ "agent": agent }));
            }
            (other, _) => spec.lost_key(&key, &format!("requires.{other}")),
        }
    }
}

/// Dotted paths that nothing may set after this kit: only where ours has the same field.
fn locked(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let mut paths = Vec::new();
    for item in spec.items(node, "locked").to_vec() {
        let Some(path) = spec.text(&item) else { continue };
        let ours = match path.as_str() {
            "sandbox.entrypoint" | "sandbox.command" => "command".to_owned(),
            "sandbox.image" => "template.image".to_owned(),
            "permissions.network.allow"
            | "permissions.network.deny"
            | "permissions.network"
            | "permissions" => "network.rules".to_owned(),
            "credentials" => "secrets".to_owned(),
            "setup.install" => "install".to_owned(),
            path => match path.strip_prefix("environment.variables.") {
                Some(variable) => format!("env.{variable}"),
                None => {
                    spec.lost(
                        &item,
                        format!("the lock on {} has no equivalent", quoted(path)),
                        "write it under `locked` where ours has the field",
                    );
                    continue;
                }
            },
        };
        if !paths.contains(&ours) {
            paths.push(ours);
        }
    }
    if !paths.is_empty() {
        body.insert("locked".to_owned(), json!(paths));
    }
}
