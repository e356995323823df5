//! Who said it: every value of a sandbox beside the file and the line, the kit or the command line that it comes from.

use serde_json::{Value, json};

use crate::{
    cli::{output::Table, render},
    model::{
        desired::{Access, Sandbox},
        rule::Origin,
    },
};

/// One value and where it stands.
struct Said<'a> {
    path: String,
    value: String,
    origin: &'a Origin,
}

/// For programs.
pub(super) fn json(sandboxes: &[Sandbox]) -> Value {
    let one = |sandbox: &Sandbox| {
        let fields = all(sandbox)
            .into_iter()
            .map(|said| json!({ "path": said.path, "value": said.value, "from": said.origin }));
        json!({ "sandbox": sandbox.name, "fields": fields.collect::<Vec<_>>(), "kits": sandbox.kits })
    };
    json!({ "sandboxes": sandboxes.iter().map(one).collect::<Vec<_>>() })
}

/// For people.
pub(super) fn text(sandboxes: &[Sandbox]) -> String {
    let mut table = Table::new(&["SANDBOX", "FIELD", "VALUE", "FROM"]);
    for sandbox in sandboxes {
        for said in all(sandbox) {
            let from = render::origin(said.origin);
            table.row([sandbox.name.as_str(), &said.path, &said.value, &from]);
        }
        for kit in &sandbox.kits {
            let digest = kit.digest.as_deref().unwrap_or("built in");
            table.row([sandbox.name.as_str(), "kits", &format!("{} {digest}", kit.name), &kit.source]);
        }
    }
    table.render()
}

fn all(sandbox: &Sandbox) -> Vec<Said<'_>> {
    let values = serde_json::to_value(sandbox).unwrap_or_default();
    let single = sandbox.origins.iter().map(|(path, origin)| {
        let value = values.pointer(&format!("/{}", path.replace('.', "/"))).map_or_else(String::new, short);
        Said { path: path.clone(), value, origin }
    });
    single.chain(entries(sandbox)).collect()
}

/// The entries of lists, each of which carries its own place.
fn entries(sandbox: &Sandbox) -> Vec<Said<'_>> {
    let mut all = Vec::new();
    let mut add = |path: &str, value: String, origin| all.push(Said { path: path.to_owned(), value, origin });
    if let Some(one) = &sandbox.workspace {
        let name = one.path.file_name().unwrap_or(one.path.as_os_str());
        add("workspace.path", name.to_string_lossy().into_owned(), &one.origin);
    }
    for one in &sandbox.template.steps {
        add("template.run", one.run.clone(), &one.origin);
    }
    for one in &sandbox.mounts {
        add("mounts", format!("{} {}", one.target, access(one.access)), &one.origin);
    }
    for one in &sandbox.files {
        add("files", one.path.clone(), &one.origin);
    }
    for (path, steps) in [("setup.create", &sandbox.setup.create), ("setup.start", &sandbox.setup.start)] {
        for one in steps {
            add(path, one.run.clone(), &one.origin);
        }
    }
    for one in &sandbox.network.rules {
        let effect = render::effect(one.effect);
        let set = one.set.as_ref().map(|set| format!(" ({set})")).unwrap_or_default();
        add("network.rules", format!("{effect} {}{set}", one.pattern()), &one.origin);
    }
    for one in &sandbox.network.host_services {
        add("network.hostServices", one.name.clone(), &one.origin);
    }
    for one in &sandbox.secrets {
        add("secrets", one.name.clone(), &one.origin);
    }
    for one in &sandbox.ports {
        add("ports", one.guest.to_string(), &one.origin);
    }
    all
}

const fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// Text as it is, anything else as JSON.
fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
