//! The parts of a desired state, each as the document says it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Folder, put};
use crate::{
    kit::{
        builtin,
        resolve::{TIMEOUT_S, name_of},
    },
    model::{
        desired::{
            Access, Agent, File, FileMerge, KitName, Mount, Port, Sandbox, Setup, SetupStep, Task,
            WorkspaceMode,
        },
        rule::{Addresses, During, Effect, HostService, HttpMatch, NetworkRule, Ports, Protocol},
        secret::SecretBinding,
    },
};

/// The agent's kit as a document names it.
pub(super) fn agent(agent: &Agent, at: Folder<'_>) -> Value {
    let written = agent.written.as_ref().and_then(|written| kit(written, at));
    written.unwrap_or_else(|| agent.kit.as_str().into())
}

/// A kit as a document names it; none where the document's folder lies outside of the repository and the kit in it.
pub(super) fn kit(written: &KitName, at: Folder<'_>) -> Option<Value> {
    let name = match written.kit.strip_prefix("./") {
        None => written.kit.clone(),
        Some(path) => from_folder(path, at)?,
    };
    Some(if written.args.is_empty() { name.into() } else { json!({ "kit": name, "args": written.args }) })
}

/// A path from the repository's root as a document names it.
fn from_folder(path: &str, at: Folder<'_>) -> Option<String> {
    let deep = at.folder.strip_prefix(at.root).ok()?.components().count();
    Some(if deep == 0 { format!("./{path}") } else { format!("{}{path}", "../".repeat(deep)) })
}

pub(super) fn workspace(sandbox: &Sandbox, at: Folder<'_>) -> Option<Value> {
    let workspace = sandbox.workspace.as_ref()?;
    let mode = match workspace.mode {
        WorkspaceMode::Direct => "direct",
        WorkspaceMode::Read => "read",
    };
    Some(json!({ "path": from_base(&workspace.path, at.root), "mode": mode }))
}

/// A path from the repository's root where it lies below it, else as it is.
fn from_base(path: &Path, base: &Path) -> String {
    match path.strip_prefix(base) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.to_string_lossy().into_owned(),
        Err(_) => path.to_string_lossy().into_owned(),
    }
}

/// `command` and `args`: arguments go to the task's command too, so what both end with was given as arguments.
pub(super) fn command(agent: &Agent, bare: &Agent, spec: &mut Map<String, Value>) {
    let other = agent.task.as_ref().zip(bare.task.as_ref());
    let other = other.or_else(|| agent.resume.as_ref().zip(bare.resume.as_ref()));
    let args = match other {
        Some((own, kit)) => own.strip_prefix(kit.as_slice()).unwrap_or_default(),
        None => agent.command.strip_prefix(bare.command.as_slice()).unwrap_or_default(),
    };
    let command = agent.command.strip_suffix(args).unwrap_or(&agent.command);
    if command != bare.command {
        spec.insert("command".to_owned(), json!(command));
    }
    put(spec, "args", json!(args));
    if let Some(tty) = agent.tty.filter(|tty| bare.tty != Some(*tty)) {
        spec.insert("tty".to_owned(), tty.into());
    }
}

pub(super) fn mount(mount: &Mount) -> Value {
    let access = match mount.access {
        Access::Read => "read",
        Access::Write => "write",
    };
    json!({ "source": mount.source, "target": mount.target, "access": access, "why": mount.why })
}

/// Content as text; bytes that are no text, and text that would be read as an expression, cannot be said here.
pub(super) fn file(file: &File, lost: &mut Vec<String>) -> Option<Value> {
    let text = String::from_utf8(file.content.clone()).ok();
    let Some(text) = text.filter(|text| file.placeholders || !text.contains("${{")) else {
        lost.push(format!("the file {} is not text that a document can hold: copy it beside this one and name it as `source`", file.path));
        return None;
    };
    let mut value = json!({ "path": file.path, "content": text });
    if file.merge == FileMerge::Json {
        value["merge"] = "json".into();
    }
    if let Some(mode) = file.mode {
        value["mode"] = format!("{mode:04o}").into();
    }
    Some(value)
}

pub(super) fn setup(setup: &Setup, bare: &Setup) -> Value {
    let steps = |own: &[SetupStep], kit: &[SetupStep]| -> Value {
        let new =
            |step: &&SetupStep| kit.iter().all(|other| other.run != step.run || other.name != step.name);
        own.iter().filter(new).map(step).collect()
    };
    let mut value = Map::new();
    put(&mut value, "create", steps(&setup.create, &bare.create));
    put(&mut value, "start", steps(&setup.start, &bare.start));
    Value::Object(value)
}

fn step(step: &SetupStep) -> Value {
    let mut value = Map::new();
    if step.name != name_of(&step.run) {
        value.insert("name".to_owned(), step.name.as_str().into());
    }
    value.insert("run".to_owned(), step.run.as_str().into());
    if step.timeout_s != TIMEOUT_S {
        value.insert("timeout".to_owned(), format!("{}s", step.timeout_s).into());
    }
    if step.background {
        value.insert("background".to_owned(), true.into());
    }
    if let Some(port) = step.ready_port {
        value.insert("ready".to_owned(), json!({ "port": port }));
    }
    // A string is short for its command alone.
    if value.len() == 1 { step.run.as_str().into() } else { Value::Object(value) }
}

/// The task by its file, else in full.
pub(super) fn task(task: &Task, at: Folder<'_>, lost: &mut Vec<String>) -> Option<Value> {
    let mut value = Map::new();
    match task.file.as_ref().and_then(|file| from_folder(file, at)) {
        Some(file) => drop(value.insert("promptFile".to_owned(), file.into())),
        None if task.prompt.contains("${{") => {
            lost.push("the task's text has `${{`, which a document cannot hold: put it into a file and name that as `task.promptFile`".to_owned());
            return None;
        }
        None => drop(value.insert("prompt".to_owned(), task.prompt.as_str().into())),
    }
    if let Some(seconds) = task.timeout_s {
        value.insert("timeout".to_owned(), format!("{seconds}s").into());
    }
    Some(Value::Object(value))
}

/// Rules, those of one named set as the set; `bare` are the kit's.
pub(super) fn rules(own: &[NetworkRule], bare: &[NetworkRule]) -> Value {
    let mut values: Vec<Value> = Vec::new();
    for rule in own.iter().filter(|rule| bare.iter().all(|other| !same_rule(other, rule))) {
        let value = self::rule(rule);
        if rule.set.is_none() || !values.contains(&value) {
            values.push(value);
        }
    }
    values.into()
}

fn same_rule(a: &NetworkRule, b: &NetworkRule) -> bool {
    (a.effect, &a.host, a.ports, a.protocol, &a.http, a.addresses, a.during, &a.set, a.until)
        == (b.effect, &b.host, b.ports, b.protocol, &b.http, b.addresses, b.during, &b.set, b.until)
}

fn rule(rule: &NetworkRule) -> Value {
    let effect = match rule.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::Ask => "ask",
    };
    let mut value = Map::new();
    let usual = if rule.effect == Effect::Deny { Ports::ALL } else { Ports::one(443) };
    match &rule.set {
        // The set says ports and protocol itself; a registry also which requests pass.
        Some(set) => {
            value.insert(effect.to_owned(), set.as_str().into());
            if !set.starts_with("registry:") {
                put(&mut value, "http", http(&rule.http));
            }
        }
        None => {
            let host = match rule.ports == usual {
                true => rule.host.to_string(),
                false => format!("{}:{}", address(&rule.host.to_string()), rule.ports),
            };
            value.insert(effect.to_owned(), host.into());
            let implied = match rule.effect {
                Effect::Deny => None,
                _ => Some(rule.ports.first)
                    .filter(|first| *first == rule.ports.last)
                    .and_then(Protocol::default_for),
            };
            if let Some(protocol) = rule.protocol.filter(|protocol| Some(*protocol) != implied) {
                value.insert("protocol".to_owned(), protocol_word(protocol).into());
            }
            put(&mut value, "http", http(&rule.http));
        }
    }
    if rule.addresses == Addresses::Private {
        value.insert("addresses".to_owned(), "private".into());
    }
    if rule.during == During::Setup {
        value.insert("during".to_owned(), "setup".into());
    }
    if let Some(until) = rule.until {
        value.insert("until".to_owned(), until.to_string().into());
    }
    if !rule.why.is_empty() {
        value.insert("why".to_owned(), rule.why.as_str().into());
    }
    Value::Object(value)
}

/// An IPv6 address before a port stands in brackets.
fn address(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

const fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Tls => "tls",
        Protocol::Tcp => "tcp",
    }
}

/// What narrows to some requests. One entry that takes every request leaves nothing narrowed, and nothing is written.
fn http(matched: &[HttpMatch]) -> Value {
    match matched.iter().any(|one| one.methods.is_empty() && one.paths.is_empty()) {
        true => json!([]),
        false => matched.iter().map(requests).collect(),
    }
}

fn requests(matched: &HttpMatch) -> Value {
    let mut value = Map::new();
    put(&mut value, "methods", json!(matched.methods));
    put(&mut value, "paths", json!(matched.paths));
    Value::Object(value)
}

pub(super) fn host_service(service: &HostService) -> Value {
    let mut value = Map::new();
    value.insert("name".to_owned(), service.name.as_str().into());
    value.insert("port".to_owned(), service.port.into());
    put(&mut value, "http", http(&service.http));
    value.insert("why".to_owned(), service.why.as_str().into());
    Value::Object(value)
}

/// Whether two bindings say the same, wherever they stand.
pub(super) fn same_secret(a: &SecretBinding, b: &SecretBinding) -> bool {
    (&a.name, &a.env, &a.placeholder, a.required, &a.inject)
        == (&b.name, &b.env, &b.placeholder, b.required, &b.inject)
}

/// A built-in service by its name, anything else in full.
pub(super) fn secret(binding: &SecretBinding) -> Value {
    let known = builtin::services().get(&binding.name);
    if known.is_some_and(|service| service.is_all_of(binding)) {
        return binding.name.as_str().into();
    }
    let inject: Vec<Value> = binding
        .inject
        .iter()
        .map(|place| {
            let host =
                if place.port == 443 { place.host.clone() } else { format!("{}:{}", place.host, place.port) };
            json!({ "host": host, "header": place.header, "format": place.format })
        })
        .collect();
    let mut value = Map::new();
    value.insert("name".to_owned(), binding.name.as_str().into());
    if let Some(env) = &binding.env {
        value.insert("env".to_owned(), env.as_str().into());
    }
    value.insert("placeholder".to_owned(), binding.placeholder.as_str().into());
    if !binding.required {
        value.insert("required".to_owned(), false.into());
    }
    value.insert("inject".to_owned(), inject.into());
    value.insert("why".to_owned(), binding.why.as_str().into());
    Value::Object(value)
}

pub(super) fn port(port: &Port) -> Value {
    let mut value = Map::new();
    value.insert("guest".to_owned(), port.guest.into());
    if let Some(host) = port.host {
        value.insert("host".to_owned(), host.into());
    }
    if port.fixed {
        value.insert("fixed".to_owned(), true.into());
    }
    Value::Object(value)
}
