//! `sbxenv.yaml` of Docker Sandboxes. Its commands and tool servers run on the host, and its secrets may stand in the
//! file: neither has a place in ours, and no value of a secret is ever repeated.

use super::{Import, Imported, UNKNOWN, cpus, entries, items, port, size};
use crate::kit::{
    draft::{Place, scalar},
    parse,
    problem::{Code, Problem, Span},
    tree::{Key, Kind, Node},
};

/// Why a value with `${{ … }}` is left out.
const FOREIGN: &str = "arguments of a whole file have no equivalent; write the value";
/// Of the sandbox's options those without an equivalent.
const OPTIONS: &[(&str, &str)] = &[
    ("pullPolicy", "templates are cached by content"),
    ("profile", "say what may be reached under `network`"),
    ("skills", "the user's own settings are the operator's: `hostConfig` in config.yaml"),
    ("display", "the machine has no display"),
    ("gpu", "no device of the host enters the machine"),
    ("usb", "no device of the host enters the machine"),
];
/// Keys without an equivalent.
const LEFT_OUT: &[(&str, &str)] = &[
    ("args", "arguments belong to kits here: `kits: [{kit: …, args: …}]`"),
    (
        "bindings",
        "which hosts a credential goes to stands with the service; allow them under `network.rules`",
    ),
    ("registries", "registries are the operator's: `registries` in config.yaml, used as `registry:NAME`"),
    ("lifecycle", "it would run on the host, which a repository's file never does here; see `setup`"),
];

/// Reads an `sbxenv.yaml` of this name. `knows_agent` tells whether there is an agent kit, `knows_service` whether
/// there is a service of a name.
///
/// # Errors
/// What makes it no such file, with its place.
pub fn sbxenv(
    name: &str,
    bytes: &[u8],
    agent: &str,
    knows_agent: &dyn Fn(&str) -> bool,
    knows_service: &dyn Fn(&str) -> bool,
) -> Result<Imported, Vec<Problem>> {
    let (mut documents, findings) = parse::documents(name, bytes);
    if findings.errors() > 0 {
        return Err(findings.into_parts().0);
    }
    let one = |span, message: &str| Err(vec![findings.at(Code::WrongType, span, message.to_owned())]);
    if documents.len() > 1 {
        return one(documents[1].head(), "an sbxenv.yaml holds one document");
    }
    let Some(root) = documents.pop().filter(|root| matches!(root.kind, Kind::Map(_))) else {
        return one(Span { line: 1, column: 1, ..Span::default() }, "an sbxenv.yaml holds a mapping");
    };
    let mut import = Import::new(&Import::title(&root), agent);
    if root.get("workspace").is_none_or(|value| value.kind == Kind::Null) {
        import.draft.add(Place::Spec, "workspace: {mode: read}").note =
            Some("none is named there; it enters, and nothing of it is written".to_owned());
    }
    for (key, value) in entries(&root) {
        match key.text.as_str() {
            "agent" => match value.text().filter(|agent| knows_agent(agent)) {
                Some(known) => known.clone_into(&mut import.draft.agent),
                None => import.skip(
                    "agent",
                    key.span,
                    format!("there is no agent kit of this name; {agent} stands in"),
                ),
            },
            "secrets" => secrets(key, value, knows_service, &mut import),
            _ => read_key(key, value, &mut import),
        }
    }
    Ok(import.finish())
}

fn read_key(key: &Key, value: &Node, import: &mut Import) {
    match key.text.as_str() {
        "name" => import.named(key, value),
        "schemaVersion" => {
            let one = matches!(&value.kind, Kind::Text(text) if text == "1") || value.kind == Kind::Int(1);
            if !one {
                import.skip("schemaVersion", key.span, "not version 1, which this was read as");
            }
        }
        "workspace" if value.kind == Kind::Null => {}
        "workspace" => workspace(key, value, import),
        "additionalWorkspaces" => items(value).iter().for_each(|item| folder(key, item, import)),
        "env" => {
            for (name, value) in import.mapping(key, value) {
                import.variable("env", name, value, FOREIGN);
            }
        }
        "kits" => items(value).iter().for_each(|item| kit(key, item, import)),
        "sandboxOptions" => options(key, value, import),
        "ports" => items(value).iter().for_each(|item| published(key, item, import)),
        "mcp" => servers(key, value, import),
        other => {
            let known = LEFT_OUT.iter().find(|(name, _)| *name == other);
            let reason = known.map_or(UNKNOWN, |(_, reason)| reason);
            import.skip(other, key.span, reason);
        }
    }
}

fn workspace(key: &Key, value: &Node, import: &mut Import) {
    import.rest("workspace", value, &["path", "clone"]);
    let written = match (&value.kind, value.get("path")) {
        (Kind::Map(_), None) => Some("."),
        (Kind::Map(_), Some(path)) => path.text(),
        _ => value.text(),
    };
    let Some((path, read)) = written.and_then(|written| access("workspace", key.span, written, import))
    else {
        if written.is_none() {
            import.skip("workspace", key.span, format!("a path is text, not {}", value.kind.word()));
        }
        import.draft.add(Place::Spec, "workspace: {mode: read}");
        return;
    };
    let clone = import.switch("workspace", value, "clone");
    if clone == Some(true) {
        let reason = "branch mode is not available yet; the folder enters read-only";
        import.skip("workspace.clone", value.entry("clone").map_or(key.span, |(key, _)| key.span), reason);
    }
    let unsure = clone.is_none() && value.get("clone").is_some();
    let mode = if read || clone == Some(true) || unsure { "read" } else { "direct" };
    let text = format!("workspace: {{path: {}, mode: {mode}}}", scalar(path));
    import.add(Place::Spec, "workspace", key.span, text);
}

/// A path and whether it may only be read: that is what `:ro` behind it says. What else stands behind a colon is told,
/// and so is a path that this tool does not resolve.
fn access<'a>(key: &str, span: Span, written: &'a str, import: &mut Import) -> Option<(&'a str, bool)> {
    if written.contains("${{") {
        import.skip(key, span, FOREIGN);
        return None;
    }
    match written.rsplit_once(':') {
        None => Some((written, false)),
        Some((path, "ro")) if !path.contains(':') && !path.is_empty() => Some((path, true)),
        Some((_, behind)) => {
            let behind = super::quoted(behind);
            import.skip(
                key,
                span,
                format!("{behind} behind a colon: a path may end in `:ro` and in nothing else"),
            );
            None
        }
    }
}

/// A further folder opens a part of the host: proposed, never written as if it were agreed.
fn folder(key: &Key, item: &Node, import: &mut Import) {
    import.rest(&key.text, item, &["path", "readOnly"]);
    let Some(written) = item.text().or_else(|| item.get("path").and_then(Node::text)) else {
        return import.skip(&key.text, item.head(), "a folder without a path");
    };
    let Some((path, read)) = access(&key.text, item.head(), written, import) else { return };
    let read_only = import.switch(&key.text, item, "readOnly");
    let unsure = read_only.is_none() && item.get("readOnly").is_some();
    let access = if read || read_only == Some(true) || unsure { "read" } else { "write" };
    let text = format!("{{source: {}, access: {access}, why: imported}}", scalar(path));
    import.add(Place::Mounts, &key.text, item.head(), text).refused =
        Some("a folder of the host: your decision".to_owned());
}

fn kit(key: &Key, item: &Node, import: &mut Import) {
    import.rest(&key.text, item, &["source", "args"]);
    let source = item.text().or_else(|| item.get("source").and_then(Node::text));
    let Some(source) = source.filter(|source| !source.contains("${{")) else {
        return import.skip(&key.text, item.head(), "a kit without a source that can be read");
    };
    if let Some((args, _)) = item.entry("args") {
        import.skip("kits.args", args.span, "write them beside the kit: `{kit: …, args: …}`");
    }
    import.add(Place::Kits, &key.text, item.head(), scalar(source));
}

fn options(key: &Key, value: &Node, import: &mut Import) {
    for (name, value) in import.mapping(key, value) {
        let path = format!("sandboxOptions.{}", name.text);
        let entry = match (name.text.as_str(), &value.kind) {
            ("cpus", _) => cpus(value).map(|cpus| (Place::Resources, format!("cpus: {cpus}"))),
            ("memory", _) => size(value).map(|size| (Place::Resources, format!("memory: {size}"))),
            ("template", Kind::Text(image)) => Some((Place::Template, format!("image: {}", scalar(image)))),
            (other, _) => {
                let known = OPTIONS.iter().find(|(known, _)| *known == other);
                let reason = known.map_or("not an option that this version knows", |(_, reason)| reason);
                import.skip(&path, name.span, reason);
                continue;
            }
        };
        match entry {
            Some((place, text)) => {
                import.add(place, &path, name.span, text);
            }
            None => import.skip(&path, name.span, "not a size or number that this understands"),
        }
    }
}

/// The name alone enters; where the value lies is the operator's business, and a value in the file is one that leaked.
fn secrets(key: &Key, value: &Node, knows: &dyn Fn(&str) -> bool, import: &mut Import) {
    for (name, of) in import.mapping(key, value) {
        let path = format!("secrets.{}", name.text);
        if knows(&name.text) {
            import.add(Place::Secrets, &path, name.span, scalar(&name.text));
        } else {
            let reason = "no service of this name; say its host and header under `secrets`";
            import.skip(&path, name.span, reason);
        }
        for (source, _) in entries(of) {
            let reason = match source.text.as_str() {
                "value" => {
                    "a value has no place in a file; store it with the operator's `secrets.sources`, and renew it"
                }
                _ => "where a value lies is the operator's: `secrets.sources` in config.yaml",
            };
            import.skip(&format!("{path}.{}", source.text), source.span, reason);
        }
    }
}

fn published(key: &Key, item: &Node, import: &mut Import) {
    import.rest(&key.text, item, &["sandbox", "host", "protocol", "hostIP"]);
    let Some(guest) = item.get("sandbox").and_then(port).or_else(|| port(item)) else {
        return import.skip(&key.text, item.head(), "a port without its number in the sandbox");
    };
    if let Some((protocol, _)) = item.entry("protocol").filter(|(_, it)| it.text() != Some("tcp")) {
        return import.skip("ports.protocol", protocol.span, "TCP alone is published");
    }
    if let Some((address, _)) = item.entry("hostIP").filter(|(_, it)| it.text() != Some("127.0.0.1")) {
        import.skip("ports.hostIP", address.span, "ports are published on 127.0.0.1 alone");
    }
    let host = match item.entry("host") {
        Some((name, host)) if port(host).is_none() => {
            import.skip("ports.host", name.span, "not a port; any free one is taken");
            None
        }
        host => host.and_then(|(_, host)| port(host)),
    };
    let host = host.map_or_else(String::new, |host| format!(", host: {host}"));
    import.add(Place::Ports, &key.text, item.head(), format!("{{guest: {guest}{host}}}"));
}

fn servers(key: &Key, value: &Node, import: &mut Import) {
    import.rest(&key.text, value, &["servers"]);
    let servers = value.get("servers").map(items).unwrap_or_default();
    if servers.is_empty() {
        import.skip("mcp", key.span, "no servers in it");
    }
    for server in servers {
        let name = server.get("name").and_then(Node::text).unwrap_or("a server without a name");
        import.skip(&format!("mcp.servers.{name}"), server.head(), "MCP servers are not available yet");
    }
}
