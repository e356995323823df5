//! What a spec puts into the sandbox: variables, files, commands, ports.

use serde_json::{Map, Value, json};

use super::spec::{Spec, append};
use crate::kit::{problem::quoted, tree::Node};

/// The agent's home there and here.
const HOME: &str = "/home/agent/";
/// What stands for the workspace in files there.
const WORKDIR: &str = "${WORKDIR}";
/// Variables that are ours to set, or mean Docker's own machinery.
const OTHERS: [&str; 3] = ["DASH_", "SBX_", "DOCKER_"];

pub(super) fn environment(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    for (key, value) in spec.entries(node, "environment").to_vec() {
        if key.text != "variables" {
            spec.lost_key(&key, &format!("environment.{}", key.text));
            continue;
        }
        let mut env = Map::new();
        for (name, value) in spec.entries(&value, "environment.variables").to_vec() {
            if OTHERS.iter().any(|prefix| name.text.starts_with(prefix)) {
                spec.lost(&value, format!("{} means nothing here", quoted(&name.text)), "it is left out");
                continue;
            }
            env.extend(spec.text(&value).map(|text| (name.text.clone(), text.into())));
        }
        if !env.is_empty() {
            body.insert("env".to_owned(), env.into());
        }
    }
}

pub(super) fn ports(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    for item in spec.items(node, "ports").to_vec() {
        let mut guest = None;
        let mut usable = true;
        for (key, value) in spec.entries(&item, "a port").to_vec() {
            match key.text.as_str() {
                "container" => guest = spec.text(&value).and_then(|text| text.parse::<u16>().ok()),
                "protocol" => {
                    let protocol = spec.text(&value).unwrap_or_default();
                    if !matches!(protocol.as_str(), "" | "tcp" | "tcp4") {
                        spec.lost(
                            &value,
                            format!("a port of protocol {} cannot be published", quoted(&protocol)),
                            "TCP can; it is left out",
                        );
                        usable = false;
                    }
                }
                "name" => {
                    spec.lost(&value, "ports have no names here", "`cofferdam ports` lists them by number")
                }
                other => spec.lost_key(&key, &format!("ports[].{other}")),
            }
        }
        match guest.filter(|guest| *guest > 0) {
            Some(guest) if usable => append(body, &["ports"], json!({ "guest": guest })),
            Some(_) => {}
            None => spec.lost(&item, "a port needs `container` from 1 to 65535", "it is left out"),
        }
    }
}

pub(super) fn setup(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    for (key, value) in spec.entries(node, "setup").to_vec() {
        let each: fn(&Node, &mut Map<String, Value>, &mut Spec) = match key.text.as_str() {
            "install" => install,
            "startup" => startup,
            "files" | "initFiles" => file,
            other => {
                spec.lost_key(&key, &format!("setup.{other}"));
                continue;
            }
        };
        for item in spec.items(&value, "a part of setup").to_vec() {
            each(&item, body, spec);
        }
    }
}

/// The fields of a command: its text for a shell, its user, whether it stays.
struct Step {
    run: String,
    user: Option<String>,
    background: bool,
    name: Option<String>,
}

fn step(node: &Node, spec: &mut Spec) -> Option<Step> {
    if node.text().is_some() {
        return Some(Step { run: spec.text(node)?, user: None, background: false, name: None });
    }
    let mut step = Step { run: String::new(), user: None, background: false, name: None };
    for (key, value) in spec.entries(node, "a command").to_vec() {
        match key.text.as_str() {
            "command" => step.run = command(&value, spec),
            "user" => step.user = spec.text(&value),
            "background" => step.background = spec.text(&value).is_some_and(|text| text == "true"),
            "description" => step.name = spec.text(&value),
            other => spec.lost_key(&key, &format!("setup[].{other}")),
        }
    }
    if step.run.is_empty() {
        spec.lost(node, "a command without `command`", "it is left out");
        return None;
    }
    Some(step)
}

/// A text for a shell; a list is quoted word by word.
fn command(node: &Node, spec: &mut Spec) -> String {
    if node.text().is_some() {
        return spec.text(node).unwrap_or_default();
    }
    let words = spec.texts(node, "command");
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

pub(super) fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("0" | "root"))
}

/// Steps of the image: as root in a machine of its own. One as another user runs when the sandbox is made.
fn install(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let Some(step) = step(node, spec) else { return };
    match step.user.as_deref() {
        None => append(body, &["install"], step.run.into()),
        Some(user) if is_root(user) => append(body, &["install"], step.run.into()),
        Some(_) => {
            spec.lost(
                node,
                "a step that installs as another user than root",
                "it runs as the agent, once per sandbox, under `setup.create`",
            );
            append(body, &["setup", "create"], step.run.into());
        }
    }
}

fn startup(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let Some(step) = step(node, spec) else { return };
    let run = match step.user.as_deref() {
        Some(user) if is_root(user) => format!("sudo sh -c {}", shell_word(&step.run)),
        _ => step.run,
    };
    let mut full = Map::new();
    let name = step.name.filter(|name| {
        name.len() <= 40 && name.chars().all(|sign| sign.is_ascii_alphanumeric() || " _-.".contains(sign))
    });
    full.extend(name.map(|name| ("name".to_owned(), json!(name))));
    full.insert("run".to_owned(), json!(run));
    if step.background {
        full.insert("background".to_owned(), json!(true));
    }
    append(body, &["setup", "start"], if full.len() == 1 { json!(run) } else { full.into() });
}

fn file(node: &Node, body: &mut Map<String, Value>, spec: &mut Spec) {
    let (mut path, mut content, mut mode) = (None, String::new(), None);
    for (key, value) in spec.entries(node, "a file").to_vec() {
        match key.text.as_str() {
            "path" => path = spec.text(&value),
            "content" => {
                content = spec.text(&value).unwrap_or_default().replace(WORKDIR, "${{ workspace.path }}")
            }
            "mode" => mode = spec.text(&value),
            "onlyIfMissing" => {
                if spec.text(&value).is_some_and(|text| text == "true") {
                    spec.lost(
                        &value,
                        "files are written at each start here, also where one is there",
                        "leave the file out if the agent's changes must stay",
                    );
                }
            }
            other => spec.lost_key(&key, &format!("setup.files[].{other}")),
        }
    }
    let Some(path) = path else {
        return spec.lost(node, "a file without `path`", "it is left out");
    };
    let path = match path.strip_prefix(HOME) {
        Some(below) => format!("~/{below}"),
        None => path,
    };
    if !path.starts_with('/') && !path.starts_with("~/") {
        let message =
            format!("a file at {}: only absolute paths and the agent's home are written", quoted(&path));
        return spec.lost(
            node,
            message,
            "commit the file to the repository, or write it in a command of setup",
        );
    }
    let mut file = Map::from_iter([("path".to_owned(), json!(path)), ("content".to_owned(), json!(content))]);
    file.extend(mode.filter(|mode| mode != "0644").map(|mode| ("mode".to_owned(), json!(mode))));
    append(body, &["files"], file.into());
}
