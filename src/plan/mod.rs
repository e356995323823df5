//! The difference between what shall be and what is, as data that leaves no choice to whoever executes it.
//!
//! Pure: the planner reads no file, no clock and no random number. Every field of a sandbox has a class: **live**
//! fields are put in force while it runs, **restart** fields when it is started anew, **create-only** fields never.

pub mod grant;

use serde::Serialize;

use crate::model::{
    desired::Sandbox,
    name::{Name, SandboxId},
    status::Phase,
};

/// One sandbox as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its identity.
    pub id: SandboxId,
    /// What it was last told to be.
    pub recorded: Sandbox,
    /// Where its machine stands.
    pub phase: Phase,
}

/// What is to be done for one sandbox, in this order of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub name: Name,
    /// Its identity, when it exists.
    pub id: Option<SandboxId>,
    /// What is done.
    pub action: Action,
    /// Fields that differ, with their class.
    pub changes: Vec<Change>,
}

/// What is done for one sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It does not exist: make it and start it.
    Create,
    /// It exists as it shall be, but does not run.
    Start,
    /// Write the new definition and put its rules in force; the machine goes on.
    UpdateLive,
    /// Write the new definition and start the machine anew.
    Restart,
    /// It is as it shall be.
    Nothing,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its path in `spec`.
    pub field: &'static str,
    /// When it takes effect.
    pub class: Class,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// At once.
    Live,
    /// At the next start.
    Restart,
    /// Only in a new sandbox.
    CreateOnly,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A field that is fixed when the sandbox is created has changed.
    #[error(
        "`{field}` of sandbox `{name}` is fixed when it is created; `cofferdam rm {name}` and apply again, or give the new one another name"
    )]
    CreateOnly {
        /// Which sandbox.
        name: Name,
        /// Which field.
        field: &'static str,
    },
}

/// Plans every desired sandbox, in the order of their names.
///
/// # Errors
/// When a change cannot be made to an existing sandbox.
pub fn plan(desired: &[Sandbox], observed: &[Observed]) -> Result<Vec<Step>, PlanError> {
    let mut desired: Vec<&Sandbox> = desired.iter().collect();
    desired.sort_by(|left, right| left.name.cmp(&right.name));
    desired
        .into_iter()
        .map(|wanted| step(wanted, observed.iter().find(|it| it.recorded.name == wanted.name)))
        .collect()
}

fn step(wanted: &Sandbox, observed: Option<&Observed>) -> Result<Step, PlanError> {
    let Some(observed) = observed else {
        return Ok(Step { name: wanted.name.clone(), id: None, action: Action::Create, changes: Vec::new() });
    };
    let changes = changes(&observed.recorded, wanted);
    if let Some(change) = changes.iter().find(|change| change.class == Class::CreateOnly) {
        return Err(PlanError::CreateOnly { name: wanted.name.clone(), field: change.field });
    }
    let runs = matches!(observed.phase, Phase::Starting | Phase::Running);
    let action = match (changes.iter().map(|change| change.class).max(), runs) {
        (None, true) => Action::Nothing,
        (None, false) => Action::Start,
        (Some(Class::Live), true) => Action::UpdateLive,
        (Some(_), _) => Action::Restart,
    };
    Ok(Step { name: wanted.name.clone(), id: Some(observed.id.clone()), action, changes })
}

fn changes(from: &Sandbox, to: &Sandbox) -> Vec<Change> {
    use Class::{CreateOnly, Live, Restart};
    let path = |sandbox: &Sandbox| sandbox.workspace.as_ref().map(|workspace| workspace.path.clone());
    let mode = |sandbox: &Sandbox| sandbox.workspace.as_ref().map(|workspace| workspace.mode);
    let fields = [
        ("metadata.labels", Live, from.labels != to.labels),
        ("agent", Restart, from.agent != to.agent),
        ("template", CreateOnly, from.template != to.template),
        ("workspace.path", CreateOnly, path(from) != path(to)),
        ("workspace.mode", Restart, mode(from) != mode(to)),
        ("mounts", Restart, from.mounts != to.mounts),
        ("workingDir", Restart, from.working_dir != to.working_dir),
        ("env", Restart, from.env != to.env),
        ("network", Live, from.network != to.network),
        ("secrets", Restart, from.secrets != to.secrets),
        ("resources.cpus", Restart, from.resources.cpus != to.resources.cpus),
        ("resources.memory", Restart, from.resources.memory != to.resources.memory),
        ("resources.disk", CreateOnly, from.resources.disk != to.resources.disk),
        ("isolation", Restart, from.isolation != to.isolation),
        // Events name the file and commit that a decision was made under.
        ("provenance", Live, from.provenance != to.provenance),
    ];
    fields
        .into_iter()
        .filter(|(.., differs)| *differs)
        .map(|(field, class, _)| Change { field, class })
        .collect()
}
