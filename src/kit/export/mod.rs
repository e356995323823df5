//! A desired state as the document that says it: what files, kits and a command line made of a sandbox, in one file.
//!
//! What kits bring is left out; the document names them, with their arguments. Everything else is spelt out, so that the
//! same desired state comes of it wherever the kits are known.

mod parts;
#[cfg(test)]
mod tests;
mod yaml;

pub use yaml::yaml;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::wire::envelope::API_VERSION;
use crate::model::{
    desired::{IsolationWish, Preset, Sandbox, Start},
    unit::Bytes,
};

/// A document, and what could not be said in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The document, with its envelope.
    pub document: Value,
    /// What is missing, each in a sentence.
    pub lost: Vec<String>,
    /// What somebody may want to know of it, each in a sentence.
    pub notes: Vec<String>,
    /// What it was made of, a line each: files, commits and digests, as they were found.
    pub from: Vec<String>,
}

/// Where a document is to lie.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    /// The repository's root.
    pub root: &'a Path,
    /// The document's folder, at or below it.
    pub folder: &'a Path,
}

/// The smallest document with this agent: what comes of it, the kit brings.
#[must_use]
pub fn bare(agent: &str) -> Value {
    envelope("bare", Map::new(), json!({ "agent": agent, "workspace": { "mode": "read" } }))
}

/// The smallest document with the kits of `sandbox`, or with that of its agent alone: what comes of it, they bring.
#[must_use]
pub fn frame(sandbox: &Sandbox, mixins: bool, at: Folder<'_>) -> Value {
    let agent = parts::agent(&sandbox.agent, at);
    let kits: Value = match mixins {
        true => sandbox.kits.iter().filter_map(|used| parts::kit(used.written.as_ref()?, at)).collect(),
        false => Value::Array(Vec::new()),
    };
    // Kits may speak of the workspace's path.
    let workspace = parts::workspace(sandbox, at).unwrap_or_else(|| json!({ "mode": "read" }));
    let mut spec = Map::new();
    spec.insert("agent".to_owned(), agent);
    put(&mut spec, "kits", kits);
    spec.insert("workspace".to_owned(), workspace);
    envelope("bare", Map::new(), Value::Object(spec))
}

fn envelope(name: &str, labels: Map<String, Value>, spec: Value) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), name.into());
    put(&mut metadata, "labels", Value::Object(labels));
    json!({ "apiVersion": API_VERSION, "kind": "Sandbox", "metadata": metadata, "spec": spec })
}

/// The document of `sandbox` for a folder. `bare` is what its kits bring, resolved from [`frame`]; those that stand in it
/// are named.
#[must_use]
pub fn export(sandbox: &Sandbox, bare: &Sandbox, at: Folder<'_>) -> Exported {
    let mut lost = Vec::new();
    let mut spec = Map::new();
    if sandbox.start == Start::OnDemand {
        spec.insert("start".to_owned(), "onDemand".into());
    }
    spec.insert("agent".to_owned(), parts::agent(&sandbox.agent, at));
    let kits = bare.kits.iter().filter_map(|used| parts::kit(used.written.as_ref()?, at));
    put(&mut spec, "kits", kits.collect());
    parts::command(&sandbox.agent, &bare.agent, &mut spec);
    let mut template = Map::new();
    if sandbox.template.image != bare.template.image {
        template.insert("image".to_owned(), sandbox.template.image.as_str().into());
    }
    let new = |package: &&String| !bare.template.packages.contains(package);
    put(&mut template, "packages", sandbox.template.packages.iter().filter(new).cloned().collect());
    let steps = &sandbox.template.steps;
    let kept = |run: &str| bare.template.steps.iter().all(|step| step.run != run);
    put(&mut template, "run", steps.iter().map(|step| step.run.clone()).filter(|run| kept(run)).collect());
    put(&mut spec, "template", Value::Object(template));
    if let Some(workspace) = parts::workspace(sandbox, at) {
        spec.insert("workspace".to_owned(), workspace);
    }
    if let Some(folder) = &sandbox.working_dir {
        let below = sandbox.workspace.as_ref().and_then(|it| Path::new(folder).strip_prefix(&it.path).ok());
        // Another clone lies elsewhere.
        let written = match below.and_then(Path::to_str) {
            Some("") => ".",
            Some(below) => below,
            None => folder,
        };
        spec.insert("workingDir".to_owned(), written.into());
    }
    let mounts = sandbox.mounts.iter().filter(|one| bare.mounts.iter().all(|it| it.target != one.target));
    put(&mut spec, "mounts", mounts.map(parts::mount).collect());
    let own = |(key, value): &(&String, &String)| bare.env.get(*key) != Some(*value);
    let env = sandbox.env.iter().filter(own).map(|(key, value)| (key.clone(), value.as_str().into()));
    put(&mut spec, "env", Value::Object(env.collect()));
    let files = sandbox.files.iter().filter(|file| bare.files.iter().all(|other| other.path != file.path));
    put(&mut spec, "files", files.filter_map(|file| parts::file(file, &mut lost)).collect());
    put(&mut spec, "setup", parts::setup(&sandbox.setup, &bare.setup));
    if let Some(task) = sandbox.task.as_ref().and_then(|task| parts::task(task, at, &mut lost)) {
        spec.insert("task".to_owned(), task);
    }
    put(&mut spec, "network", network(sandbox, bare));
    let same = |name: &str| bare.secrets.iter().find(|other| other.name == name);
    let secrets = sandbox
        .secrets
        .iter()
        .filter(|one| same(&one.name).is_none_or(|other| !parts::same_secret(other, one)));
    put(&mut spec, "secrets", secrets.map(parts::secret).collect());
    let ports = sandbox.ports.iter().filter(|port| bare.ports.iter().all(|other| other.guest != port.guest));
    put(&mut spec, "ports", ports.map(parts::port).collect());
    let resources = &sandbox.resources;
    spec.insert(
        "resources".to_owned(),
        json!({ "cpus": resources.cpus, "memory": size(resources.memory), "disk": size(resources.disk) }),
    );
    if sandbox.isolation == IsolationWish::Hardware {
        spec.insert("isolation".to_owned(), "hardware".into());
    }
    let labels = sandbox.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let document = envelope(sandbox.name.as_str(), labels, Value::Object(spec));
    Exported { document, lost, notes: Vec::new(), from: from(sandbox) }
}

/// What a sandbox was made of.
fn from(sandbox: &Sandbox) -> Vec<String> {
    let mut lines = Vec::new();
    let provenance = &sandbox.provenance;
    let commit = provenance.commit.as_ref().map_or_else(String::new, |commit| format!(", commit {commit}"));
    lines.push(match &provenance.file {
        Some(file) => format!("{} from {}{commit}", sandbox.name, file.display()),
        None => format!("{} from a command line", sandbox.name),
    });
    for used in &sandbox.kits {
        let digest = used.digest.as_ref().map_or_else(String::new, |digest| format!(", sha256 {digest}"));
        lines.push(format!("kit {} from {}{digest}", used.name, used.source));
    }
    lines
}

fn network(sandbox: &Sandbox, bare: &Sandbox) -> Value {
    let mut network = Map::new();
    match sandbox.network.preset {
        Preset::LockedDown => {}
        Preset::Balanced => drop(network.insert("preset".to_owned(), "balanced".into())),
        Preset::Open => drop(network.insert("preset".to_owned(), "open".into())),
    }
    put(&mut network, "rules", parts::rules(&sandbox.network.rules, &bare.network.rules));
    let services = sandbox.network.host_services.iter();
    let own = services.filter(|one| bare.network.host_services.iter().all(|other| other.name != one.name));
    put(&mut network, "hostServices", own.map(parts::host_service).collect());
    Value::Object(network)
}

/// A size as a document has it: whole numbers of a unit.
fn size(bytes: Bytes) -> String {
    let text = bytes.to_string();
    // No document can say it exactly; the next whole KiB above holds it.
    if text.ends_with("iB") { text } else { format!("{}KiB", bytes.0.div_ceil(1 << 10)) }
}

/// Inserts what is not empty.
fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    if !empty {
        map.insert(key.to_owned(), value);
    }
}
