//! Every field of a sandbox with its class. Where a field stands, and why, is no difference: a comment above a mount
//! starts no machine anew.

use std::{borrow::Cow, fmt};

use super::{Change, Class};
use crate::model::{
    desired::{Agent, BuildStep, File, KitUse, Mount, Network, Port, Sandbox, SetupStep, Workspace},
    rule::{HostService, NetworkRule},
    secret::SecretBinding,
};

/// A field: its path in `spec`, its class, and whether it differs.
type Field = (&'static str, Class, fn(&Sandbox, &Sandbox) -> bool);

const FIELDS: [Field; 23] = {
    use Class::{CreateOnly, Live, Replace, Restart};
    [
        ("metadata.labels", Live, |from, to| from.labels != to.labels),
        ("start", Live, |from, to| from.start != to.start),
        ("kits", Live, |from, to| differ(&from.kits, &to.kits, kit)),
        ("network", Live, |from, to| networks_differ(&from.network, &to.network)),
        // Begun by `run` alone.
        ("task", Live, |from, to| from.task != to.task),
        ("ports", Live, |from, to| differ(&from.ports, &to.ports, port)),
        ("agent", Restart, |from, to| agent(from) != agent(to)),
        ("workingDir", Restart, |from, to| from.working_dir != to.working_dir),
        ("env", Restart, |from, to| from.env != to.env),
        ("files", Restart, |from, to| differ(&from.files, &to.files, file)),
        ("setup.start", Restart, |from, to| differ(&from.setup.start, &to.setup.start, setup)),
        ("mounts", Restart, |from, to| differ(&from.mounts, &to.mounts, mount)),
        // Values are handed in as sealed memory when the machine starts.
        ("secrets", Restart, |from, to| differ(&from.secrets, &to.secrets, secret)),
        ("resources.cpus", Restart, |from, to| from.resources.cpus != to.resources.cpus),
        ("resources.memory", Restart, |from, to| from.resources.memory != to.resources.memory),
        ("isolation", Restart, |from, to| from.isolation != to.isolation),
        ("template.image", Replace, |from, to| from.template.image != to.template.image),
        ("template.packages", Replace, |from, to| packages(from) != packages(to)),
        ("template.run", Replace, |from, to| differ(&from.template.steps, &to.template.steps, build)),
        ("setup.create", Replace, |from, to| differ(&from.setup.create, &to.setup.create, setup)),
        ("workspace", CreateOnly, |from, to| workspace(from) != workspace(to)),
        ("resources.disk", CreateOnly, |from, to| from.resources.disk != to.resources.disk),
        // What the fields above leave out: places, reasons, the commit. Events name them.
        ("provenance", Live, |_, _| true),
    ]
};

/// The fields that differ.
pub(super) fn changes(from: &Sandbox, to: &Sandbox) -> Vec<Change> {
    if from == to {
        return Vec::new();
    }
    let differing = FIELDS
        .iter()
        .filter(|(field, _, differs)| differs(from, to) && (*field != "provenance" || elsewhere(from, to)));
    differing.map(|(field, class, _)| Change { field: Cow::Borrowed(*field), class: *class }).collect()
}

/// The same, with lists whose order says nothing in one order.
pub(super) fn in_order(sandbox: &Sandbox) -> Sandbox {
    let mut sandbox = sandbox.clone();
    sandbox.network.rules.sort_by_cached_key(|it| format!("{:?}", rule(it)));
    sandbox.network.host_services.sort_by_cached_key(|it| format!("{:?}", host_service(it)));
    sandbox.ports.sort_by_cached_key(|it| format!("{:?}", port(it)));
    sandbox.secrets.sort_by_cached_key(|it| format!("{:?}", secret(it)));
    sandbox.files.sort_by(|left, right| left.path.cmp(&right.path));
    sandbox
}

/// The fields that are fixed when a sandbox is made, and differ.
pub(super) fn fixed(from: &Sandbox, to: &Sandbox) -> Vec<&'static str> {
    let differing = |(_, class, differs): &&Field| *class == Class::CreateOnly && differs(from, to);
    FIELDS.iter().filter(differing).map(|(field, ..)| *field).collect()
}

/// Whether anything but the fields with a class of their own differs.
fn elsewhere(from: &Sandbox, to: &Sandbox) -> bool {
    let mut like = to.clone();
    for (field, _, differs) in &FIELDS {
        if *field != "provenance" && differs(from, &like) {
            take(&mut like, from, field);
        }
    }
    like != *from
}

/// Makes a field of `to` what it is in `from`.
pub(super) fn take(to: &mut Sandbox, from: &Sandbox, field: &str) {
    match field {
        "metadata.labels" => to.labels.clone_from(&from.labels),
        "start" => to.start = from.start,
        "kits" => to.kits.clone_from(&from.kits),
        "network" => to.network.clone_from(&from.network),
        "task" => to.task.clone_from(&from.task),
        "ports" => to.ports.clone_from(&from.ports),
        "agent" => to.agent.clone_from(&from.agent),
        "workingDir" => to.working_dir.clone_from(&from.working_dir),
        "env" => to.env.clone_from(&from.env),
        "files" => to.files.clone_from(&from.files),
        "setup.start" => to.setup.start.clone_from(&from.setup.start),
        "mounts" => to.mounts.clone_from(&from.mounts),
        "secrets" => to.secrets.clone_from(&from.secrets),
        "resources.cpus" => to.resources.cpus = from.resources.cpus,
        "resources.memory" => to.resources.memory = from.resources.memory,
        "isolation" => to.isolation = from.isolation,
        "template.image" => to.template.image.clone_from(&from.template.image),
        "template.packages" => {
            to.template.packages.clone_from(&from.template.packages);
            to.template.versions.clone_from(&from.template.versions);
        }
        "template.run" => to.template.steps.clone_from(&from.template.steps),
        "setup.create" => to.setup.create.clone_from(&from.setup.create),
        "workspace" => to.workspace.clone_from(&from.workspace),
        "resources.disk" => to.resources.disk = from.resources.disk,
        _ => {}
    }
}

/// Every field of this class or a later one of `to` made what it is in `from`.
pub(super) fn hold(to: &mut Sandbox, from: &Sandbox, class: Class) {
    for (field, _, _) in FIELDS.iter().filter(|(_, own, _)| *own >= class) {
        take(to, from, field);
    }
}

fn differ<'a, T, K: PartialEq>(from: &'a [T], to: &'a [T], key: impl Fn(&'a T) -> K) -> bool {
    from.len() != to.len() || from.iter().zip(to).any(|(from, to)| key(from) != key(to))
}

// The parts of an entry that count. What is left out is named, so that a new part does not compile before somebody has
// said whether it counts.

fn file(file: &File) -> impl PartialEq + '_ {
    let File { path, content, merge, placeholders, mode, origin: _ } = file;
    // Where there is none, it is no difference that one would be replaced.
    let placeholders = *placeholders && content.windows(3).any(|it| it == b"${{");
    (path, content, merge, placeholders, mode)
}

/// How a kit is named is no difference: what it brings is.
fn kit(used: &KitUse) -> impl PartialEq + '_ {
    let KitUse { name, digest, source: _, written: _ } = used;
    (name, digest)
}

fn agent(sandbox: &Sandbox) -> impl PartialEq + '_ {
    let Agent { kit, command, task, resume, tty, written: _ } = &sandbox.agent;
    (kit, command, task, resume, tty)
}

fn networks_differ(from: &Network, to: &Network) -> bool {
    let Network { preset, preset_until, rules, host_services } = from;
    (preset, preset_until) != (&to.preset, &to.preset_until)
        || differ(rules, &to.rules, rule)
        || differ(host_services, &to.host_services, host_service)
}

fn rule(rule: &NetworkRule) -> impl PartialEq + fmt::Debug + '_ {
    let NetworkRule {
        until,
        effect,
        host,
        ports,
        protocol,
        http,
        addresses,
        during,
        set,
        id: _,
        why: _,
        origin: _,
    } = rule;
    ((effect, host, ports, protocol), (http, addresses, during, set, until))
}

fn host_service(service: &HostService) -> impl PartialEq + fmt::Debug + '_ {
    let HostService { until, name, port, http, why: _, origin: _ } = service;
    (name, port, http, until)
}

fn port(port: &Port) -> impl PartialEq + fmt::Debug + '_ {
    let Port { guest, host, fixed, origin: _ } = port;
    (guest, host, fixed)
}

fn mount(mount: &Mount) -> impl PartialEq + '_ {
    let Mount { source, target, access, why: _, origin: _ } = mount;
    (source, target, access)
}

fn setup(step: &SetupStep) -> impl PartialEq + '_ {
    let SetupStep { name, run, timeout_s, background, ready_port, origin: _ } = step;
    (name, run, timeout_s, background, ready_port)
}

/// What is installed, and in which version where that is pinned.
fn packages(sandbox: &Sandbox) -> impl PartialEq + '_ {
    (&sandbox.template.packages, &sandbox.template.versions)
}

fn build(step: &BuildStep) -> impl PartialEq + '_ {
    let BuildStep { run, origin: _ } = step;
    run
}

fn secret(secret: &SecretBinding) -> impl PartialEq + fmt::Debug + '_ {
    let SecretBinding { name, env, placeholder, required, inject, why: _, origin: _ } = secret;
    (name, env, placeholder, required, inject)
}

fn workspace(sandbox: &Sandbox) -> Option<impl PartialEq + '_> {
    sandbox.workspace.as_ref().map(|Workspace { path, mode, origin: _ }| (path, mode))
}
