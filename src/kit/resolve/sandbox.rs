//! One sandbox: its agent's kit below, its own document above.

use std::collections::BTreeSet;

use super::{
    Around, agent, env, folders, guest,
    guest::Placed,
    machine, network, secret, setup,
    text::{self, Stands},
};
use crate::{
    kit::{
        document::Soundness,
        findings::Findings,
        problem::{Code, Span, quoted},
        spanned::Spanned,
        wire::{
            envelope::{Document, SandboxKind},
            sandbox as wire,
        },
    },
    model::{
        desired::{self, File, IsolationWish, Network, Port},
        name::Name,
        rule::Origin,
    },
};

/// Most bytes of files in one sandbox.
const FILES_MAX: usize = 8 << 20;
/// The built-in base template.
const BASE: &str = "debian-12";

/// Resolves a document of kind Sandbox. `None` where something essential of it is wrong; every reason stands in
/// `findings`.
pub(in crate::kit) fn sandbox(
    document: &Document<SandboxKind, wire::Sandbox>,
    soundness: Soundness,
    around: &Around<'_>,
    findings: &mut Findings,
) -> Option<desired::Sandbox> {
    let written_name = &document.metadata.name;
    let name: Option<Name> = written_name.value.0.parse().ok();
    let spec = &document.spec;
    let kit = agent::find(&spec.agent.kit, around.library, findings);
    let workspace = folders::workspace(spec.workspace.as_ref(), written_name.span, around, findings);
    let mounts = folders::mounts(&spec.mounts, workspace.as_ref(), around, findings);
    let working_dir =
        spec.working_dir.as_ref().map(|dir| folders::working_dir(dir, workspace.as_ref(), findings));
    let own_env = env::variables(&spec.env, findings);
    let own_network =
        network::network(&spec.network, &written_name.value.0, &around.file.name, &around.sets(), findings);
    let own_secrets = secret::secrets(&spec.secrets, around.library, &|line| around.origin(line), findings);
    let own_args = agent::words(&spec.args, Stands::Word, findings);
    let own_command = spec.command.as_ref().map(|command| agent::words(command, Stands::Word, findings));
    let own_files = guest::files(&spec.files, &around.here(), findings);
    let own_ports = guest::ports(&spec.ports, &around.here(), findings);
    let own_steps = setup::build_steps(&spec.template.run, &around.here(), findings);
    let setup = setup::setup(&spec.setup, &around.here(), findings);
    let resources = machine::resources(&spec.resources, around, findings);
    let kit = kit?;

    let network = joined(&kit.network, own_network);
    let secrets: Vec<_> = join_secrets(&kit.secrets, spec.agent.kit.span, own_secrets);
    if soundness == Soundness::Whole {
        secret::check_reachable(&secrets, &network, findings);
    }
    let mut env = kit.env.clone();
    env.extend(own_env);
    for bound in &secrets {
        if let Some(variable) = bound.binding.env.as_ref().filter(|variable| env.contains_key(*variable)) {
            let message =
                format!("{} holds the secret's placeholder and stands under `env` too", quoted(variable));
            findings.push(findings.at(Code::Secret, bound.span, message).help("remove it from `env`"));
        }
    }
    check_variables(&secrets, findings);
    let at = spec.agent.kit.span;
    let mut files = joined_files(&kit.files, at, own_files, findings);
    let ports = joined_ports(&kit.ports, at, own_ports, findings);
    let packages = kit.packages.iter().map(|(name, _)| name.clone());
    let packages: BTreeSet<String> =
        packages.chain(spec.template.packages.iter().map(|name| name.value.0.clone())).collect();
    for (name, value) in &env {
        let written = spec.env.iter().find(|(key, _)| key.0 == *name);
        check_named(value, written.map_or(at, |(_, value)| value.span), &secrets, findings);
    }
    for file in files.iter().filter(|file| file.placeholders) {
        let written = spec.files.iter().find(|written| Some(written.path.span.line) == file.origin.line);
        let span = written.map_or(at, |written| written.path.span);
        check_named(&String::from_utf8_lossy(&file.content), span, &secrets, findings);
    }
    let workspace = workspace?;
    let fill = |text: &str| text.replace(text::WORKSPACE, &workspace.path.to_string_lossy());
    let command = |own: &[String]| own.iter().chain(&own_args).map(|word| fill(word)).collect::<Vec<_>>();
    env.values_mut().for_each(|value| *value = fill(value));
    for file in files.iter_mut().filter(|file| file.placeholders) {
        file.content = fill(&String::from_utf8_lossy(&file.content)).into_bytes();
    }
    Some(desired::Sandbox {
        name: name?,
        labels: document
            .metadata
            .labels
            .iter()
            .map(|(key, value)| (key.0.clone(), value.0.clone()))
            .collect(),
        start: match spec.start.as_deref() {
            Some(wire::Start::OnDemand) => desired::Start::OnDemand,
            Some(wire::Start::Always) | None => desired::Start::Always,
        },
        agent: desired::Agent {
            kit: spec.agent.kit.value.clone(),
            command: command(own_command.as_ref().unwrap_or(&kit.command)),
            task: kit.task.as_deref().map(command),
            resume: kit.resume.as_deref().map(command),
            tty: spec.tty.as_ref().map(|tty| tty.value),
        },
        kits: Vec::new(),
        template: desired::Template {
            image: template(spec.template.image.as_ref().or(kit.image.as_ref()), findings)?,
            packages: packages.into_iter().collect(),
            steps: kit.steps.iter().cloned().chain(own_steps).collect(),
        },
        workspace: Some(workspace),
        mounts,
        working_dir: working_dir.flatten(),
        env,
        files,
        setup,
        network,
        secrets: secrets.into_iter().map(|bound| bound.binding).collect(),
        ports,
        resources,
        isolation: match spec.isolation {
            Some(wire::Isolation::Hardware) => IsolationWish::Hardware,
            Some(wire::Isolation::EmulationOk) | None => IsolationWish::EmulationOk,
        },
        provenance: around.file.provenance.clone(),
        origins: std::collections::BTreeMap::new(),
    })
}

/// The kit's files and the sandbox's; one path has one file.
fn joined_files(
    kit: &[Placed<File>],
    at: Span,
    own: Vec<Placed<File>>,
    findings: &mut Findings,
) -> Vec<File> {
    let mut kept: Vec<File> = Vec::new();
    let kit = kit.iter().map(|file| Placed { span: at, ..file.clone() });
    for Placed { value, span } in kit.chain(own) {
        match kept.iter().find(|other| other.path == value.path) {
            Some(other) => {
                let message = format!("the file {} stands twice", quoted(&other.path));
                let problem = findings.at(Code::File, span, message);
                findings
                    .push(problem.help(format!("keep one; the other stands in {}", place(&other.origin))));
            }
            None => kept.push(value),
        }
    }
    let total: usize = kept.iter().map(|file| file.content.len()).sum();
    if total > FILES_MAX {
        let message = format!("the sandbox's files hold more than {} MiB together", FILES_MAX >> 20);
        findings.push(
            findings.at(Code::TooLarge, at, message).help("fetch large files by a step of `setup.create`"),
        );
    }
    kept
}

/// The kit's ports and the sandbox's; one port is published once.
fn joined_ports(
    kit: &[Placed<Port>],
    at: Span,
    own: Vec<Placed<Port>>,
    findings: &mut Findings,
) -> Vec<Port> {
    let mut kept: Vec<Port> = Vec::new();
    let kit = kit.iter().map(|port| Placed { span: at, ..port.clone() });
    for Placed { value, span } in kit.chain(own) {
        let same =
            |other: &&Port| other.guest == value.guest || (other.host.is_some() && other.host == value.host);
        match kept.iter().find(same) {
            Some(other) => {
                let which = if other.guest == value.guest { "guest" } else { "host" };
                let number = if which == "guest" { value.guest } else { value.host.unwrap_or_default() };
                let problem =
                    findings.at(Code::Port, span, format!("the {which} port {number} is published twice"));
                findings
                    .push(problem.help(format!("keep one; the other stands in {}", place(&other.origin))));
            }
            None => kept.push(value),
        }
    }
    kept
}

/// Reports an expression that names a secret which the sandbox does not have.
fn check_named(text: &str, span: Span, secrets: &[secret::Bound], findings: &mut Findings) {
    let has = |name: &&str| secrets.iter().any(|bound| bound.binding.name == **name);
    for name in text::secrets_named(text).into_iter().filter(|name| !has(name)) {
        let message = format!("the sandbox has no secret {}", quoted(name));
        findings.push(findings.at(Code::Secret, span, message).help("add it under `secrets`"));
    }
}

/// An origin in words.
fn place(origin: &Origin) -> String {
    let file = origin.file.as_deref().unwrap_or("a built-in kit");
    origin.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"))
}

/// Rules and services of the kit, then the sandbox's; identical rules are folded.
fn joined(kit: &Network, own: Network) -> Network {
    let mut rules = kit.rules.clone();
    let same = |a: &crate::model::rule::NetworkRule, b: &crate::model::rule::NetworkRule| {
        (a.effect, &a.host, a.ports, a.protocol, &a.http, a.addresses)
            == (b.effect, &b.host, b.ports, b.protocol, &b.http, b.addresses)
    };
    for rule in own.rules {
        if !kit.rules.iter().any(|other| same(other, &rule)) {
            rules.push(rule);
        }
    }
    let mut host_services: Vec<_> = kit.host_services.clone();
    host_services.retain(|service| own.host_services.iter().all(|other| other.name != service.name));
    host_services.extend(own.host_services);
    // A kit cannot loosen the preset: what the sandbox says holds, and locked-down where it says nothing.

    Network { preset: own.preset, rules, host_services }
}

/// The kit's secrets, each replaced by the sandbox's own of the same name. In this file the kit's stand where it
/// names the kit.
fn join_secrets(kit: &[secret::Bound], agent: Span, own: Vec<secret::Bound>) -> Vec<secret::Bound> {
    let mut all: Vec<_> = kit.iter().map(|bound| secret::Bound { span: agent, ..bound.clone() }).collect();
    all.retain(|bound| own.iter().all(|other| other.binding.name != bound.binding.name));
    all.extend(own);
    all
}

/// Reports two secrets that want the same variable.
fn check_variables(secrets: &[secret::Bound], findings: &mut Findings) {
    for (index, bound) in secrets.iter().enumerate() {
        let Some(variable) = &bound.binding.env else { continue };
        let taken = secrets[..index].iter().find(|other| other.binding.env.as_ref() == Some(variable));
        if let Some(other) = taken {
            let message = format!(
                "{} is the variable of two secrets, {} too",
                quoted(variable),
                quoted(&other.binding.name)
            );
            findings
                .push(findings.at(Code::Secret, bound.span, message).help("give one of them another `env`"));
        }
    }
}

fn template(image: Option<&Spanned<String>>, findings: &mut Findings) -> Option<String> {
    match image {
        None => Some(BASE.to_owned()),
        Some(image) if image.value == BASE => Some(BASE.to_owned()),
        Some(image) => {
            let message = format!("the template image {} is not available", quoted(image));
            let help = format!("write {BASE}; container images come later");
            findings.push(findings.at(Code::NotAvailable, image.span, message).help(help));
            None
        }
    }
}
