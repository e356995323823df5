//! One sandbox: its agent's kit below, its own document above.

use super::{Around, agent, env, folders, machine, network, secret};
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
        desired::{self, IsolationWish, Network},
        name::Name,
    },
};

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
    let own_args = agent::words(&spec.args, findings);
    let own_command = spec.command.as_ref().map(|command| agent::words(command, findings));
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
    let mut command = own_command.unwrap_or_else(|| kit.command.clone());
    command.extend(own_args);
    Some(desired::Sandbox {
        name: name?,
        labels: document
            .metadata
            .labels
            .iter()
            .map(|(key, value)| (key.0.clone(), value.0.clone()))
            .collect(),
        start: desired::Start::Always,
        agent: desired::Agent {
            kit: spec.agent.kit.value.clone(),
            command,
            task: None,
            resume: None,
            tty: None,
        },
        kits: Vec::new(),
        template: desired::Template {
            image: template(spec.template.image.as_ref().or(kit.image.as_ref()), findings)?,
            packages: Vec::new(),
            steps: Vec::new(),
        },
        workspace: Some(workspace?),
        mounts,
        working_dir: working_dir.flatten(),
        env,
        files: Vec::new(),
        setup: desired::Setup::default(),
        network,
        secrets: secrets.into_iter().map(|bound| bound.binding).collect(),
        ports: Vec::new(),
        resources,
        isolation: match spec.isolation {
            Some(wire::Isolation::Hardware) => IsolationWish::Hardware,
            Some(wire::Isolation::EmulationOk) | None => IsolationWish::EmulationOk,
        },
        provenance: around.file.provenance.clone(),
        origins: std::collections::BTreeMap::new(),
    })
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
