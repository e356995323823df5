//! How a spec's agent starts, what it is told, and the arguments of a kit.

use serde_json::{Map, Value, json};

use super::spec::{Spec, append};
use crate::kit::{
    problem::{Code, quoted},
    tree::{Key, Kind, Node},
};

pub(super) fn sandbox(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let (mut fixed, mut tail) = (Vec::new(), Vec::new());
    for (key, value) in spec.entries(node, "sandbox").to_vec() {
        match key.text.as_str() {
            "image" => {
                let image = spec.text(&value).unwrap_or_default();
                let message =
                    format!("the image {} is not used: container images come later", quoted(&image));
                spec.lost(
                    &value,
                    message,
                    "the base is debian-12; write what the image brings under `install`",
                );
            }
            "entrypoint" => (fixed, tail) = entrypoint(&value, tail, spec),
            "command" => tail = command(&value, spec),
            "resources" => resources(&value, body, spec),
            // Read with the instructions.
            "aiFilename" => {}
            "build" => spec.lost_key(&key, "sandbox.build"),
            other => spec.lost_key(&key, &format!("sandbox.{other}")),
        }
    }
    let words: Vec<String> = fixed.into_iter().chain(tail).collect();
    if !words.is_empty() {
        body.insert("command".to_owned(), json!({ "interactive": words }));
    }
}

/// A list, or the draft's `run`, `args` and `ttyArgs`.
fn entrypoint(node: &Node, tail: Vec<String>, spec: &mut Spec) -> (Vec<String>, Vec<String>) {
    if !matches!(node.kind, Kind::Map(_)) {
        return (spec.texts(node, "entrypoint"), tail);
    }
    let (mut run, mut args, mut tty) = (Vec::new(), None, None);
    for (key, value) in spec.entries(node, "entrypoint").to_vec() {
        match key.text.as_str() {
            "run" => run = spec.texts(&value, "entrypoint.run"),
            "args" => args = Some((spec.texts(&value, "entrypoint.args"), value)),
            "ttyArgs" => tty = Some(spec.texts(&value, "entrypoint.ttyArgs")),
            other => spec.lost_key(&key, &format!("sandbox.entrypoint.{other}")),
        }
    }
    let tail = match (args, tty) {
        (Some((args, place)), Some(tty)) => {
            if args != tty {
                without_terminal(&place, spec);
            }
            tty
        }
        (Some((args, _)), None) => args,
        (None, Some(tty)) => tty,
        (None, None) => tail,
    };
    (run, tail)
}

/// A list, or `default` and `interactive`.
fn command(node: &Node, spec: &mut Spec) -> Vec<String> {
    if !matches!(node.kind, Kind::Map(_)) {
        return spec.texts(node, "command");
    }
    let (mut default, mut interactive) = (None, None);
    for (key, value) in spec.entries(node, "command").to_vec() {
        match key.text.as_str() {
            "default" => default = Some((spec.texts(&value, "command.default"), value)),
            "interactive" => interactive = Some(spec.texts(&value, "command.interactive")),
            other => spec.lost_key(&key, &format!("sandbox.command.{other}")),
        }
    }
    match (default, interactive) {
        (Some((default, place)), Some(interactive)) => {
            if default != interactive {
                without_terminal(&place, spec);
            }
            interactive
        }
        (Some((default, _)), None) => default,
        (None, interactive) => interactive.unwrap_or_default(),
    }
}

fn without_terminal(node: &Node, spec: &mut Spec) {
    let help = "write `command.task` with `${{ task.prompt }}` where the prompt goes";
    spec.lost(node, "a command of its own where there is no terminal has no equivalent", help);
}

fn resources(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let mut ours = Map::new();
    for (key, value) in spec.entries(node, "resources").to_vec() {
        let text = spec.text(&value).unwrap_or_default();
        match key.text.as_str() {
            "cpu" => match text.parse::<u8>() {
                Ok(cpus) if cpus > 0 => drop(ours.insert("cpus".to_owned(), json!(cpus))),
                _ => spec.lost(&value, "a machine has whole CPUs", "write `resources.cpus`"),
            },
            "memory" => match size(&text) {
                Some(size) => drop(ours.insert("memory".to_owned(), json!(size))),
                None => spec.lost(
                    &value,
                    format!("{} is no size that is known", quoted(&text)),
                    "write `resources.memory`, for example 4GiB",
                ),
            },
            other => spec.lost_key(&key, &format!("sandbox.resources.{other}")),
        }
    }
    if !ours.is_empty() {
        body.insert("resources".to_owned(), ours.into());
    }
}

/// `4g`, `512m`: binary units there.
fn size(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(lower.len());
    let unit = match &lower[digits..] {
        "g" | "gb" | "gi" | "gib" => "GiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        _ => return None,
    };
    (digits > 0).then(|| format!("{}{unit}", &lower[..digits]))
}

/// What the agent is told. There is no field for it that is carried out yet: the text becomes a file in its home.
pub(super) fn instructions(
    key: &Key,
    node: &Node,
    is_mixin: bool,
    body: &mut Map<String, Value>,
    spec: &mut Spec,
) {
    let mut name = spec.instructions.clone().unwrap_or_else(|| "AGENTS.md".to_owned());
    let mut content = None;
    if matches!(node.kind, Kind::Text(_)) {
        content = spec.text(node);
    } else {
        for (inner, value) in spec.entries(node, &key.text).to_vec() {
            match inner.text.as_str() {
                "filename" => name = spec.text(&value).unwrap_or(name),
                "content" => content = spec.text(&value),
                other => spec.lost_key(&inner, &format!("{}.{other}", key.text)),
            }
        }
    }
    let Some(content) = content else {
        return spec.lost(node, "instructions without a text", "nothing is carried over");
    };
    if name.contains('/') || name.is_empty() || name.starts_with('.') {
        return spec.wrong(
            node,
            Code::WrongValue,
            "`filename` is the name of a file",
            "for example AGENTS.md",
        );
    }
    // Each mixin has a file of its own, as there: two of them may be used together.
    let name = if is_mixin { format!("kits-memory/{}.md", spec.kit) } else { name };
    let message =
        format!("what the agent is told lies at ~/{name}; whether the agent looks there is its own");
    spec.lost(
        node,
        message,
        "`instructions` is not available yet; a file of the repository is read by every agent",
    );
    append(body, &["files"], json!({ "path": format!("~/{name}"), "content": content }));
}

pub(super) fn args(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let mut args = Map::new();
    for (name, value) in spec.entries(node, "args").to_vec() {
        let mut argument = Map::new();
        for (key, value) in spec.entries(&value, "an argument").to_vec() {
            match key.text.as_str() {
                "default" | "required" | "description" | "pattern" => {
                    argument.extend(plain(&value).map(|plain| (key.text.clone(), plain)));
                }
                "enum" => {
                    let words: Vec<Value> = spec.items(&value, "enum").iter().filter_map(plain).collect();
                    argument.insert("enum".to_owned(), words.into());
                }
                other => spec.lost_key(&key, &format!("args.{}.{other}", name.text)),
            }
        }
        // `required: false` with a default is what a default says anyway.
        if argument.contains_key("default") {
            argument.remove("required");
        }
        args.insert(name.text.clone(), argument.into());
    }
    if !args.is_empty() {
        body.insert("args".to_owned(), args.into());
    }
}

fn plain(node: &Node) -> Option<Value> {
    match &node.kind {
        Kind::Text(text) => Some(json!(text)),
        Kind::Int(number) => Some(json!(number)),
        Kind::Bool(value) => Some(json!(value)),
        Kind::Float(number) => Some(json!(number.to_string())),
        _ => None,
    }
}
