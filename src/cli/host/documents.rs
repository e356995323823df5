//! What files and command lines say: read, checked, and compared with what is.

use std::io::Read;

use super::Host;
use crate::{
    cli::{
        failure::{ErrorObject, Failure, Kind},
        ops::{Action, Change, Proposal, Source},
    },
    kit::{LoadError, Problem, Selection},
    model::{
        desired::{Access, Sandbox, WorkspaceMode},
        rule::Effect,
        unit::Bytes,
    },
    plan,
    store::Record,
};

/// Longest document on standard input, in bytes.
const STDIN_MAX: u64 = 64 << 20;
/// Memory of a sandbox that says nothing, where the host has plenty.
const MEMORY_MOST: Bytes = Bytes::gib(4);

/// What files say.
pub(super) struct Documents {
    pub sandboxes: Vec<Sandbox>,
    pub warnings: Vec<String>,
}

impl Host {
    pub(super) fn load(&self, source: &Source) -> Result<Documents, Failure> {
        let loaded = self.load_selection(&selection(source)?, self.lock_use()).map_err(load_failure)?;
        Ok(Documents {
            sandboxes: loaded.sandboxes,
            warnings: loaded.warnings.iter().map(Problem::to_line).collect(),
        })
    }

    /// What it would take to make the documents true. Folders are judged here, before anybody is asked.
    pub(super) fn propose_apply(&self, source: &Source) -> Result<Proposal, Failure> {
        let documents = self.load(source)?;
        let denied: Vec<Failure> =
            documents.sandboxes.iter().filter_map(|sandbox| self.judge(sandbox).err()).collect();
        if let Some(failure) = Failure::several(denied) {
            return Err(failure);
        }
        let steps = plan::plan(&documents.sandboxes, &self.observed()?)
            .map_err(|error| Failure::new(Kind::Usage, "create_only", error.to_string()))?;
        let records = self.own_records()?;
        let changes = steps
            .iter()
            .filter_map(|step| {
                let wanted = documents.sandboxes.iter().find(|sandbox| sandbox.name == step.name)?;
                let before =
                    records.iter().find(|record| record.name == step.name).map(|record| &record.desired);
                Some(change(step, wanted, before))
            })
            .collect();
        Ok(Proposal { changes, warnings: documents.warnings, desired: documents.sandboxes })
    }

    pub(super) fn propose_removal(&self, source: &Source) -> Result<Proposal, Failure> {
        let documents = self.load(source)?;
        let records = self.own_records()?;
        let known = |sandbox: &&Sandbox| records.iter().any(|record| record.name == sandbox.name);
        let desired: Vec<Sandbox> = documents.sandboxes.iter().filter(known).cloned().collect();
        let changes = desired
            .iter()
            .map(|sandbox| Change {
                sandbox: sandbox.name.to_string(),
                action: Action::Delete,
                grants: Vec::new(),
                notes: vec!["its disks are removed".to_owned()],
            })
            .collect();
        Ok(Proposal { changes, warnings: documents.warnings, desired })
    }

    /// Records of the repository that this command runs in.
    pub(super) fn own_records(&self) -> Result<Vec<Record>, Failure> {
        Ok(self.records()?.into_iter().filter(|record| record.owner == self.here).collect())
    }
}

fn change(step: &plan::Step, wanted: &Sandbox, before: Option<&Sandbox>) -> Change {
    let held: Vec<String> = before.map(grants).unwrap_or_default();
    let new = grants(wanted).into_iter().filter(|grant| !held.contains(grant)).collect();
    let action = match step.action {
        plan::Action::Create => Action::Create,
        plan::Action::Start => Action::Start,
        plan::Action::UpdateLive => Action::Update,
        plan::Action::Restart | plan::Action::Replace => Action::Restart,
        plan::Action::Orphan => Action::Stop,
        plan::Action::Remove => Action::Delete,
        plan::Action::Nothing => Action::Keep,
    };
    let notes = step.changes.iter().map(|change| match change.class {
        plan::Class::Live => format!("{} changes, at once", change.field),
        plan::Class::Restart => format!("{} changes, with a restart", change.field),
        plan::Class::Replace => format!("{} changes, with a new system disk", change.field),
        plan::Class::CreateOnly => format!("{} changes", change.field),
    });
    Change { sandbox: wanted.name.to_string(), action, grants: new, notes: notes.collect() }
}

/// What a sandbox may do, in canonical form (`KIT.md`, section 2).
fn grants(sandbox: &Sandbox) -> Vec<String> {
    let mut grants = Vec::new();
    if let Some(workspace) = &sandbox.workspace {
        let mode = match workspace.mode {
            WorkspaceMode::Direct => "write",
            WorkspaceMode::Read => "read",
        };
        grants.push(format!("workspace {} {mode}", workspace.path.display()));
    }
    for mount in &sandbox.mounts {
        let access = match mount.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        grants.push(format!("mount {} {access}", mount.source.display()));
    }
    grants.push(format!("preset {}", preset_word(sandbox)));
    for rule in sandbox.network.rules.iter().filter(|rule| rule.effect != Effect::Deny) {
        let methods: Vec<&str> =
            rule.http.iter().flat_map(|it| it.methods.iter().map(String::as_str)).collect();
        let paths: Vec<&str> = rule.http.iter().flat_map(|it| it.paths.iter().map(String::as_str)).collect();
        let words = ["net".to_owned(), methods.join(","), rule.pattern(), paths.join(" ")];
        grants.push(words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" "));
    }
    for service in &sandbox.network.host_services {
        grants.push(format!("host service {} port {}", service.name, service.port));
    }
    for secret in &sandbox.secrets {
        for place in &secret.inject {
            grants.push(format!("secret {} → {}:{} {}", secret.name, place.host, place.port, place.header));
        }
    }
    // Nothing of its own to approve: it is the default, and shown by `policy ls`.
    grants.retain(|grant| grant != "preset locked-down");
    grants
}

fn preset_word(sandbox: &Sandbox) -> String {
    serde_json::to_value(sandbox.network.preset)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Everything that is wrong with files, as one failure.
#[must_use]
pub fn problems(found: Vec<Problem>) -> Failure {
    let failures = found.into_iter().map(|problem| {
        let object = problem.to_json();
        let word = |key: &str| object[key].as_str().map(str::to_owned);
        let object = ErrorObject {
            code: word("code")
                .map_or("invalid".to_owned(), |code| code.trim_start_matches("kit::").to_owned())
                .into(),
            kind: Kind::File,
            message: problem.to_string(),
            file: Some(problem.file().to_owned()),
            line: Some(problem.line()),
            column: Some(problem.column()),
            hint: word("hint"),
            causes: Vec::new(),
            problems: Vec::new(),
        };
        Failure::from(object).diagnostic(problem)
    });
    let fallback = || Failure::new(Kind::File, "invalid", "the file is wrong");
    Failure::several(failures.collect()).unwrap_or_else(fallback)
}

/// Where the documents of a command come from, for `kit`.
pub(super) fn selection(source: &Source) -> Result<Selection, Failure> {
    Ok(match source {
        Source::Path(path) => Selection::Path(path.clone()),
        Source::Search => Selection::Default,
        Source::Stdin => Selection::Stdin(read_stdin()?),
        Source::Text(text) => Selection::Stdin(text.clone().into_bytes()),
        // JSON is YAML.
        Source::CommandLine(document) => Selection::Stdin(document.to_string().into_bytes()),
    })
}

/// Why files yield nothing, as a command ends with it.
pub(super) fn load_failure(error: LoadError) -> Failure {
    match error {
        LoadError::Invalid(found) => problems(found),
        LoadError::NoDocument { .. } => Failure::from_error(Kind::File, "no_document", &error)
            .hint("cofferdam reads sandbox.yaml, else .cofferdam/, or what -f names"),
        LoadError::Discover(error) => Failure::from_error(Kind::File, "no_file", &error),
    }
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Kind::File, "stdin", format!("cannot read standard input: {error}")))?;
    Ok(bytes)
}

/// Half of the host's memory, up to 4 GiB.
pub(super) fn default_memory() -> Bytes {
    super::machines::host_memory().map_or(MEMORY_MOST, |total| Bytes::mib((total / 2) >> 20).min(MEMORY_MOST))
}
