//! `devcontainer.json` (containers.dev). Its commands that run in the container run in the sandbox; the one that runs
//! on the host never does.

use super::{Import, Imported, UNKNOWN, cpus, entries, items, jsonc, port, size};
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
    let mut import = Import::new(&Import::title(&root), agent);
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
        "$schema" => {}
        "name" => import.named(key, value),
        "features" => features(key, value, import),
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

/// Each feature is told by itself: each is a tool that somebody has to install.
fn features(key: &Key, value: &Node, import: &mut Import) {
    for (name, _) in import.mapping(key, value) {
        let path = format!("{}.{}", key.text, name.text);
        import.skip(&path, name.span, "install the tool with `template.packages` and `template.run`");
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
    if ["${localEnv:", "${containerEnv:", "${localWorkspace", "${containerWorkspace", "${devcontainerId"]
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

/// The port on the host and the one in the sandbox that an item of `forwardPorts` or `appPort` means.
fn mapped(key: &str, item: &Node) -> Result<(u16, u16), &'static str> {
    if let Some(port) = port(item) {
        return Ok((port, port));
    }
    let (first, second) = item.text().and_then(|text| text.split_once(':')).ok_or("not a port")?;
    let number = |text: &str| text.parse().ok().filter(|port| *port > 0);
    match (number(first), number(second)) {
        // `appPort` alone maps: host, then container.
        (Some(host), Some(guest)) if key == "appPort" => Ok((host, guest)),
        (None, Some(port)) if matches!(first, "localhost" | "127.0.0.1") => Ok((port, port)),
        (None, Some(_)) if key == "forwardPorts" => {
            Err("a port of another container; one sandbox is one machine")
        }
        _ => Err("not a port, nor two"),
    }
}

fn ports(key: &Key, value: &Node, root: &Node, import: &mut Import) {
    for item in items(value) {
        let (host, guest) = match mapped(&key.text, item) {
            Ok(ports) => ports,
            Err(reason) => {
                import.skip(&key.text, item.span, reason);
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
    let of = |key: &'static str| {
        items(root.get(key).unwrap_or(&NOTHING)).iter().map(move |item| mapped(key, item))
    };
    let forwarded: Vec<String> =
        of("forwardPorts").chain(of("appPort")).flatten().map(|(_, guest)| guest.to_string()).collect();
    for (name, of) in import.mapping(key, value) {
        let path = format!("{}.{}", key.text, name.text);
        if !forwarded.contains(&name.text) {
            import.skip(&path, name.span, "`forwardPorts` does not name it; add it under `ports`");
            continue;
        }
        import.switch(&path, of, "requireLocalPort");
        if !matches!(of.kind, Kind::Map(_)) {
            import.skip(&path, name.span, format!("a mapping is needed here, not {}", of.kind.word()));
        }
        for (attribute, value) in entries(of) {
            let is_used = match attribute.text.as_str() {
                "label" => value.text().is_some(),
                other => other == "requireLocalPort",
            };
            if !is_used {
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
            ("cpus", _) => cpus(value).map(|cpus| format!("cpus: {cpus}")),
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
        _ => entries(mount).iter().map(|(name, value)| (name.text.clone(), word(value))).collect(),
    };
    let known = ["type", "target", "destination", "dst", "source", "src", "readonly", "ro"];
    for (name, _) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        import.skip(&format!("{}.{name}", key.text), mount.span, "an option of a container engine");
    }
    let field = |names: &[&str]| {
        fields.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    };
    let target = field(&["target", "destination", "dst"]);
    let (Some(source), Some(target)) = (field(&["source", "src"]), target) else {
        return import.skip(&key.text, mount.span, "a mount without source or target");
    };
    // On Windows the home has another variable, and files name both, of which one is empty.
    let home = source.replace("${localEnv:HOME}", "~").replace("${localEnv:USERPROFILE}", "");
    // Without a type a container engine takes a name for a volume.
    let is_path = home.starts_with(['/', '~', '.', '$']);
    if field(&["type"]).map_or(!is_path, |sort| sort != "bind") {
        let reason = format!(
            "a volume for {}: what lies in the home folder is kept anyway; see `caches`",
            escaped(target)
        );
        return import.skip(&key.text, mount.span, reason);
    }
    if home.contains("${") || target.contains("${") {
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

/// A value of an option of a mount as text; of a list or a mapping nothing that counts as one.
fn word(value: &Node) -> String {
    match &value.kind {
        Kind::Text(text) => text.clone(),
        Kind::Bool(value) => value.to_string(),
        Kind::Int(number) => number.to_string(),
        other => other.word().to_owned(),
    }
}

/// Where a key is missing.
static NOTHING: Node = Node { span: Span { start: 0, end: 0, line: 1, column: 1 }, kind: Kind::Null };
