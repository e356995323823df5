//! One sandbox, of the contributions that were put together.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use super::{
    agent, folders, machine, secret, task,
    text::{self, secrets_named},
};
use crate::{
    kit::{
        Context,
        discover::SourceFile,
        document::Soundness,
        findings::Findings,
        merge::{At, Part, Placed, separate},
        problem::{Code, quoted},
    },
    model::{
        desired::{self, IsolationWish, KitName, KitUse, Preset, Start, Workspace, WorkspaceMode},
        name::Name,
        rule::Origin,
    },
};

/// Most bytes of the texts of one sandbox that hold the workspace's path.
const FILLED_MAX: usize = 16 << 20;

/// What a sandbox is made of beside its merged contributions.
pub(in crate::kit) struct Whole<'a> {
    pub(in crate::kit) name: Name,
    pub(in crate::kit) labels: BTreeMap<String, String>,
    /// Where its name stands.
    pub(in crate::kit) at: At,
    /// Name of its agent's kit, and where that stands.
    pub(in crate::kit) agent: Placed<String>,
    /// How the document named it, where that was not by its name alone.
    pub(in crate::kit) agent_written: Option<KitName>,
    pub(in crate::kit) kits: Vec<KitUse>,
    pub(in crate::kit) merged: Part,
    pub(in crate::kit) soundness: Soundness,
    pub(in crate::kit) file: &'a SourceFile,
    pub(in crate::kit) context: &'a Context,
}

/// Checks what only the whole shows, and makes the model of it.
pub(in crate::kit) fn finish(whole: Whole<'_>, findings: &mut Findings) -> Option<desired::Sandbox> {
    let merged = &whole.merged;
    if whole.soundness == Soundness::Whole {
        secret::check_reachable(merged, findings);
    }
    check_variables(merged, findings);
    check_named(merged, findings);
    let task = task::of_whole(merged, findings);
    let origins = origins(&whole);
    let workspace = workspace(&whole, findings);
    check_written(merged, &workspace, findings);
    let Whole { name, labels, agent, agent_written, kits, mut merged, .. } = whole;
    let filling = Filling::new(&workspace.path);
    let fill = |text| filling.fill(text);
    let args: Vec<String> = value(merged.args).unwrap_or_default();
    let words = |own: Option<Placed<Vec<String>>>| {
        own.map(|own| own.value.into_iter().chain(args.clone()).map(fill).collect::<Vec<_>>())
    };
    if merged.files.iter().any(|file| file.value.path.starts_with(text::WORKSPACE)) {
        // Where the files of kits lie that go into the workspace is known only now.
        let path = workspace.path.to_string_lossy();
        separate(&mut merged.files, findings, |file| Cow::Owned(file.path.replace(text::WORKSPACE, &path)));
    }
    let files = merged.files.into_iter().map(|Placed { value: mut file, .. }| {
        file.path = fill(file.path);
        if file.placeholders {
            file.content = fill(String::from_utf8_lossy(&file.content).into_owned()).into_bytes();
        }
        file
    });
    let working_dir = merged.working_dir.map(|dir| joined(&workspace.path, &dir.value));
    let sandbox = desired::Sandbox {
        name,
        labels,
        start: value(merged.start).unwrap_or(Start::Always),
        agent: desired::Agent {
            kit: agent.value,
            written: agent_written,
            command: words(merged.command)?,
            task: words(merged.task),
            resume: words(merged.resume),
            tty: value(merged.tty),
        },
        kits,
        template: desired::Template {
            image: value(merged.image).unwrap_or_else(|| agent::BASE.to_owned()),
            packages: values(merged.packages).collect::<BTreeSet<_>>().into_iter().collect(),
            // Known once the lock file has been looked at.
            versions: BTreeMap::new(),
            steps: values(merged.steps).collect(),
        },
        mounts: folders::check_overlaps(merged.mounts, &workspace, findings),
        working_dir,
        env: merged.env.into_iter().map(|(name, text)| (name, fill(text.value))).collect(),
        files: files.collect(),
        setup: desired::Setup {
            create: values(merged.create).collect(),
            start: values(merged.start_steps).collect(),
        },
        task,
        network: desired::Network {
            preset_until: None,
            preset: value(merged.preset).unwrap_or(Preset::LockedDown),
            rules: values(merged.rules).collect(),
            host_services: values(merged.host_services).collect(),
        },
        secrets: values(merged.secrets).collect(),
        ports: values(merged.ports).collect(),
        resources: desired::Resources {
            cpus: value(merged.cpus).unwrap_or(machine::CPUS),
            memory: value(merged.memory).unwrap_or(whole.context.default_memory),
            disk: value(merged.disk).unwrap_or(machine::DISK),
        },
        isolation: value(merged.isolation).unwrap_or(IsolationWish::EmulationOk),
        provenance: whole.file.provenance.clone(),
        origins,
        workspace: Some(workspace),
    };
    if filling.room.get().is_none() {
        let message = format!("with the workspace's path its texts hold more than {} MiB", FILLED_MAX >> 20);
        findings.push(whole.at.problem(Code::TooLarge, message));
    }
    Some(sandbox)
}

/// Puts the workspace's path where the expression for it stands: a long path makes a long text of many of them.
struct Filling {
    path: String,
    /// Bytes that the texts may still have; none once they would have had more.
    room: Cell<Option<usize>>,
}

impl Filling {
    fn new(path: &Path) -> Self {
        Self { path: path.to_string_lossy().into_owned(), room: Cell::new(Some(FILLED_MAX)) }
    }

    fn fill(&self, text: String) -> String {
        let count = text.matches(text::WORKSPACE).count();
        if count == 0 {
            return text;
        }
        let longer = text.len() + count * self.path.len();
        self.room.set(self.room.get().and_then(|room| room.checked_sub(longer)));
        if self.room.get().is_some() { text.replace(text::WORKSPACE, &self.path) } else { text }
    }
}

fn value<T>(placed: Option<Placed<T>>) -> Option<T> {
    placed.map(|placed| placed.value)
}

fn values<T>(placed: Vec<Placed<T>>) -> impl Iterator<Item = T> {
    placed.into_iter().map(|placed| placed.value)
}

/// The workspace. Without a mode it is `read` until branch mode is there, which a note says.
fn workspace(whole: &Whole<'_>, findings: &mut Findings) -> Workspace {
    let merged = &whole.merged;
    let at = merged.mode.as_ref().map(|mode| &mode.at);
    let at = at.or(merged.workspace.as_ref().map(|path| &path.at)).unwrap_or(&whole.at);
    let mode = merged.mode.as_ref().map(|mode| mode.value).unwrap_or_else(|| {
        let message =
            "the workspace is read-only here: without a mode it will be `branch` once that is available";
        let help = "write `workspace: {mode: direct}` to let the agent write, or `mode: read` to keep this";
        findings.push(at.problem(Code::Note, message).as_warning().help(help));
        WorkspaceMode::Read
    });
    let path = merged.workspace.as_ref().map_or_else(|| whole.file.base.clone(), |path| path.value.clone());
    Workspace { path, mode, origin: at.origin() }
}

/// Reports files of kits that would have to be written into a workspace that is read-only.
fn check_written(merged: &Part, workspace: &Workspace, findings: &mut Findings) {
    let inside = |file: &&Placed<desired::File>| file.value.path.starts_with(text::WORKSPACE);
    let Some(file) = merged.files.iter().find(inside).filter(|_| workspace.mode == WorkspaceMode::Read)
    else {
        return;
    };
    let message = "this kit puts files into the workspace, which is read-only here";
    let problem = file.at.problem(Code::File, message).label("has files/workspace");
    findings.push(problem.help("write `workspace: {mode: direct}` in the sandbox, or leave the kit out"));
}

fn joined(workspace: &Path, dir: &str) -> String {
    let path = workspace.join(dir);
    path.components().collect::<std::path::PathBuf>().to_string_lossy().into_owned()
}

/// Where single fields were set.
fn origins(whole: &Whole<'_>) -> BTreeMap<String, Origin> {
    let merged = &whole.merged;
    let mut origins = BTreeMap::new();
    let mut put = |field: &str, at: Option<&At>| {
        origins.extend(at.map(|at| (field.to_owned(), at.origin())));
    };
    put("agent.kit", Some(&whole.agent.at));
    put("start", merged.start.as_ref().map(|it| &it.at));
    put("agent.command", merged.command.as_ref().map(|it| &it.at));
    put("agent.task", merged.task.as_ref().map(|it| &it.at));
    put("agent.resume", merged.resume.as_ref().map(|it| &it.at));
    put("agent.args", merged.args.as_ref().map(|it| &it.at));
    put("agent.tty", merged.tty.as_ref().map(|it| &it.at));
    put("template.image", merged.image.as_ref().map(|it| &it.at));
    put("workspace.path", merged.workspace.as_ref().map(|it| &it.at));
    put("workspace.mode", merged.mode.as_ref().map(|it| &it.at));
    put("workingDir", merged.working_dir.as_ref().map(|it| &it.at));
    put("task.prompt", merged.prompt.as_ref().map(|it| &it.at));
    put("task.timeout", merged.task_timeout.as_ref().map(|it| &it.at));
    put("network.preset", merged.preset.as_ref().map(|it| &it.at));
    put("resources.cpus", merged.cpus.as_ref().map(|it| &it.at));
    put("resources.memory", merged.memory.as_ref().map(|it| &it.at));
    put("resources.disk", merged.disk.as_ref().map(|it| &it.at));
    put("isolation", merged.isolation.as_ref().map(|it| &it.at));
    for (name, text) in &merged.env {
        put(&format!("env.{name}"), Some(&text.at));
    }
    for package in &merged.packages {
        put(&format!("template.packages.{}", package.value), Some(&package.at));
    }
    origins
}

/// Reports two secrets that want the same variable, and a variable that stands under `env` too.
fn check_variables(merged: &Part, findings: &mut Findings) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for Placed { value: binding, at } in &merged.secrets {
        let Some(variable) = &binding.env else { continue };
        if let Some(other) = taken.insert(variable, &binding.name) {
            let message =
                format!("{} is the variable of two secrets, {} too", quoted(variable), quoted(other));
            findings.push(at.problem(Code::Secret, message).help("give one of them another `env`"));
        }
        if let Some(text) = merged.env.get(variable) {
            let message =
                format!("{} holds the secret's placeholder and stands under `env` too", quoted(variable));
            let label = format!("under `env`: {}", text.at.place());
            findings.push(at.problem(Code::Secret, message).label(label).help("remove it from `env`"));
        }
    }
}

/// Reports expressions that name a secret which the sandbox does not have.
fn check_named(merged: &Part, findings: &mut Findings) {
    let names: HashSet<&str> = merged.secrets.iter().map(|secret| secret.value.name.as_str()).collect();
    let mut check = |text: &str, at: &At| {
        for name in secrets_named(text).into_iter().filter(|name| !names.contains(name)) {
            let message = format!("the sandbox has no secret {}", quoted(name));
            findings.push(at.problem(Code::Secret, message).help("add it under `secrets`"));
        }
    };
    for text in merged.env.values() {
        check(&text.value, &text.at);
    }
    for file in merged.files.iter().filter(|file| file.value.placeholders) {
        check(&String::from_utf8_lossy(&file.value.content), &file.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_fills_so_many_texts_and_no_more() {
        let filling = Filling::new(Path::new(&"/x".repeat(2_000)));
        let text = format!("a {} b", text::WORKSPACE);
        assert_eq!(filling.fill("plain".to_owned()), "plain");
        assert_eq!(filling.fill(text.clone()).len(), 4_004);
        let many = text::WORKSPACE.repeat(4_000);
        assert!(filling.fill(many.clone()).len() > 15 << 20);
        assert_eq!(filling.fill(many.clone()), many);
        assert_eq!((filling.room.get(), filling.fill(text.clone())), (None, text));
    }
}
