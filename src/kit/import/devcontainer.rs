//! `devcontainer.json` (containers.dev). Its commands that run in the container run in the sandbox; the one that runs
//! on the host never does.

use super::{Import, Imported, UNKNOWN, entries, items, jsonc, port, size, slug};
use crate::kit::{
    draft::{Place, scalar},
    problem::{Code, Problem, Span, escaped},
    tree::{Key, Kind, Node},
};

/// Why a value with `${…}` is left out.
const FOREIGN: &str =
    "a file of ours takes nothing from the host's environment; write the value, or pass `-e NAME` to run";

/// Keys without an equivalent, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("image", "the sandbox has a template of its own: see `template.image` and `template.packages`"),
    (
        "build",
        "the sandbox has a template of its own: name what it needs in `template.packages` and `template.run`",
    ),
    ("dockerFile", "the sandbox has a template of its own: name what it needs in `template.packages`"),
    ("dockerComposeFile", "one sandbox is one machine; start further services in `setup.start`"),
    ("service", "one sandbox is one machine"),
    ("runServices", "one sandbox is one machine; start further services in `setup.start`"),
    ("features", "install the tools with `template.packages` and `template.run`"),
    ("overrideFeatureInstallOrder", "there are no features; `template.run` goes in order"),
    ("customizations", "settings of an editor, which does not run in the sandbox"),
    ("initializeCommand", "it would run on the host, which a repository's file never does here"),
    ("postAttachCommand", "nothing runs when somebody attaches; `setup.start` runs at each start"),
    ("runArgs", "options of a container engine; the sandbox is a machine of its own"),
    ("privileged", "the sandbox has a kernel of its own, and its root may do what it likes there"),
    ("capAdd", "the sandbox has a kernel of its own, and its root may do what it likes there"),
    ("securityOpt", "the sandbox has a kernel of its own"),
    ("init", "the machine has its own first process"),
    ("overrideCommand", "the machine has its own first process"),
    ("shutdownAction", "see `lifecycle.onExit`"),
    ("stopAction", "see `lifecycle.onExit`"),
    ("remoteUser", "the agent is always the user `agent`, with sudo"),
    ("containerUser", "the agent is always the user `agent`, with sudo"),
    ("updateRemoteUserUID", "the file server maps owners by itself"),
    ("userEnvProbe", "`env` holds all variables there are"),
    ("workspaceMount", "the workspace lies at the same path inside as on the host; see `workspace`"),
    ("waitFor", "the agent starts when all of `setup.create` is done"),
    ("otherPortsAttributes", "only ports that are named reach the host"),
    ("secrets", "name them under `secrets`; their values are the operator's: `cofferdam secret`"),
];

/// Commands that run once, in the order in which they run there.
const CREATE: [&str; 3] = ["onCreateCommand", "updateContentCommand", "postCreateCommand"];

/// Reads a `devcontainer.json` (JSON with comments) of this name.
///
/// # Errors
/// What makes it no such file, with its place.
pub fn devcontainer(name: &str, bytes: &[u8], agent: &str) -> Result<Imported, Vec<Problem>> {
    let (root, findings) = jsonc::read(name, bytes)?;
    if !matches!(root.kind, Kind::Map(_)) {
        let message = format!("a devcontainer.json holds an object, not {}", root.kind.word());
        return Err(vec![findings.at(Code::WrongType, root.span, message)]);
    }
    let title = root.get("name").and_then(Node::text).map_or_else(|| "dev".to_owned(), slug);
    let mut import = Import::new(&title, agent);
    for key in CREATE {
        if let Some((key, value)) = root.entry(key) {
            commands(key, value, Place::Create, &mut import);
        }
    }
    for (key, value) in entries(&root) {
        read_key(key, value, &root, &mut import);
    }
    Ok(import.finish())
}

fn read_key(key: &Key, value: &Node, root: &Node, import: &mut Import) {
    match key.text.as_str() {
        "$schema" | "name" => {}
        known if CREATE.contains(&known) => {}
        "postStartCommand" => commands(key, value, Place::Start, import),
        "containerEnv" | "remoteEnv" => {
            for (name, value) in import.mapping(key, value) {
                import.variable(&key.text, name, value, FOREIGN);
            }
        }
        "forwardPorts" | "appPort" => ports(key, value, root, import),
        "portsAttributes" => attributes(key, value, root, import),
        "hostRequirements" => requirements(key, value, import),
        "mounts" => items(value).iter().for_each(|mount| bind(key, mount, import)),
        "workspaceFolder" => folder(key, value, import),
        other => {
            let known = LEFT_OUT.iter().find(|(name, _)| *name == other);
            let reason = known.map_or(UNKNOWN, |(_, reason)| reason);
            import.skip(other, key.span, reason);
        }
    }
}

/// A command: text for a shell, words, or several by name, which run one after the other here.
fn commands(key: &Key, value: &Node, place: Place, import: &mut Import) {
    match &value.kind {
        Kind::Map(named) => {
            for (name, value) in named {
                let path = format!("{}.{}", key.text, name.text);
                command(&path, name.span, value, place, import);
            }
        }
        _ => command(&key.text, key.span, value, place, import),
    }
}

fn command(path: &str, span: Span, value: &Node, place: Place, import: &mut Import) {
    let text = match &value.kind {
        Kind::Text(text) => text.clone(),
        Kind::List(words) => {
            let Some(words) = words.iter().map(Node::text).collect::<Option<Vec<_>>>() else {
                return import.skip(path, span, "a command's words are all text");
            };
            words.into_iter().map(shell_word).collect::<Vec<_>>().join(" ")
        }
        Kind::Null => return,
        other => {
            return import.skip(path, span, format!("a command is text or a list, not {}", other.word()));
        }
    };
    if text.trim().is_empty() {
        return import.skip(path, span, "an empty command");
    }
    if ["${localEnv:", "${localWorkspace", "${containerWorkspace", "${devcontainerId"]
        .iter()
        .any(|foreign| text.contains(foreign))
    {
        return import.skip(
            path,
            span,
            "it uses variables of that tool; the working directory is the workspace",
        );
    }
    import.add(place, path, span, scalar(&text));
}

/// A word that a shell reads as itself.
fn shell_word(word: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "_@%+=:,./-".contains(sign);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn ports(key: &Key, value: &Node, root: &Node, import: &mut Import) {
    for item in items(value) {
        let text = item.text().unwrap_or_default();
        let (host, guest) = match (port(item), text.split_once(':')) {
            (Some(port), _) => (port, port),
            // `appPort` alone maps: host, then container.
            (None, Some((host, guest))) if key.text == "appPort" => match (host.parse(), guest.parse()) {
                (Ok(host), Ok(guest)) if host > 0 && guest > 0 => (host, guest),
                _ => {
                    import.skip(&key.text, item.span, "not a port, nor two");
                    continue;
                }
            },
            (None, Some(_)) => {
                import.skip(&key.text, item.span, "a port of another container; one sandbox is one machine");
                continue;
            }
            (None, None) => {
                import.skip(&key.text, item.span, "not a port");
                continue;
            }
        };
        let attributes = root.get("portsAttributes").and_then(|all| all.get(&guest.to_string()));
        let fixed = attributes.and_then(|of| of.get("requireLocalPort"));
        let fixed =
            if fixed.is_some_and(|fixed| fixed.kind == Kind::Bool(true)) { ", fixed: true" } else { "" };
        let entry = import.add(
            Place::Ports,
            &key.text,
            item.span,
            format!("{{guest: {guest}, host: {host}{fixed}}}"),
        );
        entry.note = attributes.and_then(|of| of.get("label")).and_then(Node::text).map(str::to_owned);
    }
}

/// Attributes of ports are used with the ports; what else they say is told.
fn attributes(key: &Key, value: &Node, root: &Node, import: &mut Import) {
    let forwarded = ["forwardPorts", "appPort"].iter().filter_map(|key| root.get(key)).flat_map(items);
    let forwarded: Vec<String> = forwarded.filter_map(port).map(|port| port.to_string()).collect();
    for (name, of) in import.mapping(key, value) {
        let path = format!("{}.{}", key.text, name.text);
        if !forwarded.contains(&name.text) {
            import.skip(&path, name.span, "`forwardPorts` does not name it; add it under `ports`");
            continue;
        }
        for (attribute, _) in entries(of) {
            if !matches!(attribute.text.as_str(), "label" | "requireLocalPort") {
                let path = format!("{path}.{}", attribute.text);
                import.skip(&path, attribute.span, "a port is published and nothing opens by itself");
            }
        }
    }
}

fn requirements(key: &Key, value: &Node, import: &mut Import) {
    for (name, value) in import.mapping(key, value) {
        let path = format!("{}.{}", key.text, name.text);
        let ours = match (name.text.as_str(), &value.kind) {
            ("cpus", Kind::Int(cpus @ 1..=64)) => Some(format!("cpus: {cpus}")),
            ("memory", _) => size(value).map(|size| format!("memory: {size}")),
            ("storage", _) => size(value).map(|size| format!("disk: {size}")),
            ("gpu", _) => {
                import.skip(&path, name.span, "no device of the host enters the machine");
                continue;
            }
            _ => None,
        };
        match ours {
            Some(text) => {
                import.add(Place::Resources, &path, name.span, text);
            }
            None => import.skip(&path, name.span, "not a size or number that this understands"),
        }
    }
}

/// A mount opens a folder of the host: it is proposed, never written as if it were agreed.
fn bind(key: &Key, mount: &Node, import: &mut Import) {
    let fields: Vec<(String, String)> = match &mount.kind {
        Kind::Text(text) => text
            .split(',')
            .map(|part| part.split_once('=').unwrap_or((part, "true")))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
        _ => entries(mount)
            .iter()
            .filter_map(|(name, value)| Some((name.text.clone(), value.text()?.to_owned())))
            .collect(),
    };
    let field = |names: &[&str]| {
        fields.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    };
    let target = field(&["target", "destination", "dst"]);
    let (Some(source), Some(target)) = (field(&["source", "src"]), target) else {
        return import.skip(&key.text, mount.span, "a mount without source or target");
    };
    if field(&["type"]).is_some_and(|sort| sort != "bind") {
        let reason = format!(
            "a volume for {}: what lies in the home folder is kept anyway; see `caches`",
            escaped(target)
        );
        return import.skip(&key.text, mount.span, reason);
    }
    let home = source.replace("${localEnv:HOME}", "~");
    if home.contains("${") {
        return import.skip(&key.text, mount.span, FOREIGN);
    }
    let read = field(&["readonly", "ro"]).is_some_and(|value| value != "false");
    let access = if read { "read" } else { "write" };
    let text = format!(
        "{{source: {}, target: {}, access: {access}, why: {}}}",
        scalar(&home),
        scalar(target),
        scalar("imported")
    );
    import.add(Place::Mounts, &key.text, mount.span, text).refused =
        Some("a folder of the host: your decision".to_owned());
}

/// Where work begins, below the workspace; the workspace itself lies where it lies on the host.
fn folder(key: &Key, value: &Node, import: &mut Import) {
    let text = value.text().unwrap_or_default().trim_end_matches('/');
    let below = text
        .strip_prefix("/workspaces/")
        .or_else(|| text.strip_prefix("/workspace/"))
        .and_then(|rest| rest.split_once('/'))
        .map(|(_, below)| below)
        .filter(|below| !below.contains("${") && !below.split('/').any(|part| part == ".."));
    match below {
        Some(below) => {
            import.add(Place::Spec, &key.text, key.span, format!("workingDir: {}", scalar(below)));
        }
        None => {
            let reason =
                "the workspace lies at the same path inside as on the host, and sessions begin there";
            import.skip(&key.text, key.span, reason);
        }
    }
}
