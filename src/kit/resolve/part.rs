//! What one document contributes to a sandbox.

use std::collections::BTreeMap;

use super::{
    Here, agent, env, folders, guest, machine, network, secret, setup, task,
    text::{self, Stands},
};
use crate::{
    kit::{
        findings::Findings,
        merge::{Part, Placed, Rank},
        problem::quoted,
        spanned::Spanned,
        wire::{
            agent as kits,
            guest::{File, Port, Setup},
            network::Network,
            sandbox as wire,
            secret::Secret,
            text::EnvName,
        },
    },
    model::{
        desired::{IsolationWish, Start, WorkspaceMode},
        rule::Layer,
    },
};

/// What every kind of document may say.
struct Common<'a> {
    env: &'a BTreeMap<EnvName, Spanned<String>>,
    network: &'a Network,
    secrets: &'a [Spanned<Secret>],
    install: &'a [Spanned<String>],
    template: &'a wire::Template,
    files: &'a [Spanned<File>],
    setup: &'a Setup,
    ports: &'a [Spanned<Port>],
    resources: &'a wire::Resources,
    isolation: Option<&'a Spanned<wire::Isolation>>,
}

/// The fields of that name.
macro_rules! common {
    ($spec:expr, $install:expr) => {
        Common {
            env: &$spec.env,
            network: &$spec.network,
            secrets: &$spec.secrets,
            install: $install,
            template: &$spec.template,
            files: &$spec.files,
            setup: &$spec.setup,
            ports: &$spec.ports,
            resources: &$spec.resources,
            isolation: $spec.isolation.as_ref(),
        }
    };
}

/// What an agent's kit contributes.
pub(in crate::kit) fn agent_part(
    name: &str,
    spec: &kits::Agent,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Part {
    network::refuse_preset(&spec.network, findings);
    let shown = format!("agent {}", quoted(name));
    let mut part = common(&common!(spec, &spec.install), name, here, findings);
    if let Some(command) = &spec.command {
        let at = |words: &[Spanned<String>], findings: &Findings| {
            here.at(words.first().map_or_else(Default::default, |word| word.span), findings)
        };
        if let Some(written) = &command.interactive {
            let value = agent::words(written, Stands::Word, findings);
            part.command = Some(Placed { value, at: at(written, findings) });
        }
        if let Some(written) = &command.task {
            let value = agent::words(written, Stands::TaskWord, findings);
            part.task = Some(Placed { value, at: at(written, findings) });
        }
        if let Some(written) = &command.resume {
            let value = agent::words(written, Stands::Word, findings);
            part.resume = Some(Placed { value, at: at(written, findings) });
        }
    }
    Part { rank: Rank::Agent, shown, ..part }
}

/// What a mixin contributes.
pub(in crate::kit) fn mixin_part(
    name: &str,
    spec: &kits::Mixin,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Part {
    network::refuse_preset(&spec.network, findings);
    let shown = format!("kit {}", quoted(name));
    let id = match here.layer {
        Layer::User => format!("user/kits/{name}"),
        _ => format!("kits/{name}"),
    };
    let part = common(&common!(spec, &spec.install), &id, here, findings);
    let mounts = folders::mounts(&spec.mounts, here, findings);
    let requires = spec.requires.iter().flat_map(|requires| &requires.agent.0);
    let requires = requires.map(|name| here.placed(name.value.0.clone(), name.span, findings)).collect();
    Part { rank: Rank::Mixin, shown, mounts, requires, ..part }
}

/// What a document of kind Sandbox contributes.
pub(in crate::kit) fn sandbox_part(
    name: &str,
    spec: &wire::Sandbox,
    rank: Rank,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Part {
    let (shown, id) = match rank {
        Rank::Local => ("sandbox.local.yaml".to_owned(), format!("{name}.local")),
        _ => (format!("sandbox {}", quoted(name)), name.to_owned()),
    };
    let part = common(&common!(spec, &[]), &id, here, findings);
    let start = spec.start.as_ref().map(|start| {
        let value = match start.value {
            wire::Start::OnDemand => Start::OnDemand,
            wire::Start::Always => Start::Always,
        };
        here.placed(value, start.span, findings)
    });
    let mut words = |written: &[Spanned<String>]| {
        let first = written.first()?.span;
        let value = agent::words(written, Stands::Word, findings);
        Some(here.placed(value, first, findings))
    };
    let command = spec.command.as_deref().and_then(&mut words);
    let args = words(&spec.args);
    let tty = spec.tty.as_ref().map(|tty| here.placed(tty.value, tty.span, findings));
    let workspace = spec.workspace.as_ref();
    let mode = workspace.and_then(|workspace| workspace.mode.as_ref()).map(|mode| {
        let value = match mode.value {
            wire::WorkspaceMode::Direct => WorkspaceMode::Direct,
            // The schema's validator has refused the other two.
            _ => WorkspaceMode::Read,
        };
        here.placed(value, mode.span, findings)
    });
    let folder = workspace.and_then(|workspace| workspace.path.as_ref());
    let workspace = folder.and_then(|path| {
        let folder = folders::workspace(path, here, findings)?;
        Some(here.placed(folder, path.span, findings))
    });
    let preset = spec.network.preset.as_ref();
    let preset = preset.map(|preset| here.placed(network::preset(preset.value), preset.span, findings));
    let working_dir = spec.working_dir.as_ref().and_then(|written| {
        let dir = folders::working_dir(written, findings)?;
        Some(here.placed(dir, written.span, findings))
    });
    let mounts = folders::mounts(&spec.mounts, here, findings);
    let task = spec.task.as_ref().map(|written| task::task(written, here, findings));
    let (prompt, task_timeout) = task.unwrap_or_default();
    let part = Part { prompt, task_timeout, ..part };
    Part { rank, shown, start, command, args, tty, mode, workspace, preset, working_dir, mounts, ..part }
}

fn common(said: &Common<'_>, id: &str, here: &Here<'_>, findings: &mut Findings) -> Part {
    let network = network::network(said.network, id, here, findings);
    let mut steps = setup::build_steps(said.install, here, findings);
    steps.extend(setup::build_steps(&said.template.run, here, findings));
    let (create, start_steps) = setup::setup(said.setup, here, findings);
    let packages = said.template.packages.iter();
    let isolation = said.isolation.map(|wish| {
        let value = match wish.value {
            wire::Isolation::Hardware => IsolationWish::Hardware,
            wire::Isolation::EmulationOk => IsolationWish::EmulationOk,
        };
        here.placed(value, wish.span, findings)
    });
    let image = said.template.image.as_ref().and_then(|image| {
        text::refuse_expression(image, findings);
        agent::image(image, findings).map(|value| here.placed(value, image.span, findings))
    });
    Part {
        env: env::variables(said.env, here, findings),
        packages: packages.map(|name| here.placed(name.value.0.clone(), name.span, findings)).collect(),
        image,
        steps,
        create,
        start_steps,
        isolation,
        rules: network.rules,
        host_services: network.host_services,
        secrets: secret::secrets(said.secrets, here, findings),
        files: guest::files(said.files, here, findings),
        ports: guest::ports(said.ports, here, findings),
        cpus: said.resources.cpus.as_ref().map(|cpus| here.placed(cpus.value, cpus.span, findings)),
        memory: machine::memory(said.resources, here, findings),
        disk: machine::disk(said.resources, here, findings),
        ..Part::default()
    }
}
