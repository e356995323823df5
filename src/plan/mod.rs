//! The difference between what shall be and what is, as data that leaves no choice to whoever executes it.
//!
//! Pure: the planner reads no file, no clock and no random number. Every field of a sandbox has a class: **live**
//! fields are put in force while it runs, **restart** fields when it is started anew, **create-only** fields never.

mod fields;
mod file;
pub mod grant;
mod make;
pub mod render;
mod snapshot;
#[cfg(test)]
mod tests;
mod words;

pub use file::{FILE_MAX, FileError, input_from, input_text, plan_from, plan_text};
pub use make::make;
pub use snapshot::{Approvals, Noted, Plan, PlanInput, Planned, Reason, VERSION};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{
    desired::Sandbox,
    name::{Name, SandboxId},
    progress::Unfinished,
    status::Phase,
};

/// One sandbox as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    /// Its identity.
    pub id: SandboxId,
    /// What it was last told to be.
    pub recorded: Sandbox,
    /// Counts up with every change of `recorded`: a saved plan is stale when it has moved.
    pub generation: u64,
    /// Where its machine stands.
    pub phase: Phase,
    /// What a pass that was interrupted has left to do.
    pub unfinished: Option<Unfinished>,
    /// Its document has disappeared: it is stopped and keeps its disks.
    pub orphaned: bool,
    /// Ports of the host that its machine has now, whatever the record says by now.
    pub ports: std::collections::BTreeSet<u16>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Write the new definition, renew the system disk, start the machine anew; the data disk stays.
    Replace,
    /// Its document has disappeared: stop it and keep its disks.
    Orphan,
    /// Its document has disappeared, and the user asked for it to go: stop it and remove it with its disks.
    Remove,
    /// It is as it shall be.
    Nothing,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// Its path in `spec`.
    pub field: Cow<'static, str>,
    /// When it takes effect.
    pub class: Class,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// At once.
    Live,
    /// At the next start.
    Restart,
    /// With a new system disk.
    Replace,
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
        field: String,
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
        .map(|wanted| {
            let own = observed.iter().find(|it| it.recorded.name == wanted.name);
            step(wanted, own, &|port| {
                observed.iter().any(|it| it.recorded.name != wanted.name && it.ports.contains(&port))
            })
        })
        .collect()
}

fn step(
    wanted: &Sandbox,
    observed: Option<&Observed>,
    taken: &dyn Fn(u16) -> bool,
) -> Result<Step, PlanError> {
    let Some(observed) = observed else {
        return Ok(Step { name: wanted.name.clone(), id: None, action: Action::Create, changes: Vec::new() });
    };
    let changes = fields::changes(&observed.recorded, wanted);
    if let Some(change) = changes.iter().find(|change| change.class == Class::CreateOnly) {
        return Err(PlanError::CreateOnly { name: wanted.name.clone(), field: change.field.to_string() });
    }
    let runs = matches!(observed.phase, Phase::Starting | Phase::Running);
    let action = action(&changes, wanted, observed, runs, taken);
    Ok(Step { name: wanted.name.clone(), id: Some(observed.id.clone()), action, changes })
}

/// What makes a sandbox what it shall be.
fn action(
    changes: &[Change],
    wanted: &Sandbox,
    observed: &Observed,
    runs: bool,
    taken: &dyn Fn(u16) -> bool,
) -> Action {
    let needed = changes.iter().map(|change| change.class).max().and_then(|class| match class {
        Class::Live => Some(Unfinished::Enforce),
        Class::Restart => Some(Unfinished::Stop),
        Class::Replace => Some(Unfinished::Renew),
        Class::CreateOnly => None,
    });
    // A port that changes hands: whoever takes it stops first, so that it can be given up in between.
    let mut ports = wanted.ports.iter().filter_map(|port| port.host);
    let contested = needed.max(observed.unfinished).is_some()
        && ports.any(|port| !observed.ports.contains(&port) && taken(port));
    let needed = if contested { needed.max(Some(Unfinished::Stop)) } else { needed };
    // What an interrupted pass has left is done too, even where nothing differs any more.
    match (needed.max(observed.unfinished), runs) {
        (Some(Unfinished::Disks), _) => Action::Create,
        (Some(Unfinished::Renew), _) => Action::Replace,
        (Some(Unfinished::Stop), true) => Action::Restart,
        (Some(_), true) => Action::UpdateLive,
        // A document that came back.
        (None, true) if observed.orphaned => Action::UpdateLive,
        (None, true) => Action::Nothing,
        (_, false) => Action::Start,
    }
}

/// What becomes of a sandbox whose document has disappeared.
fn orphaned(observed: &Observed, prune: bool) -> Action {
    match (prune, observed.orphaned && !matches!(observed.phase, Phase::Starting | Phase::Running)) {
        (true, _) => Action::Remove,
        (false, true) => Action::Nothing,
        (false, false) => Action::Orphan,
    }
}

/// Plans the sandboxes whose document has disappeared. `observed` holds those, and no others, that the files once
/// defined.
#[must_use]
pub fn orphans(desired: &[Sandbox], observed: &[Observed], prune: bool) -> Vec<Step> {
    let gone = |it: &&Observed| desired.iter().all(|wanted| wanted.name != it.recorded.name);
    let step = |it: &Observed| {
        let action = orphaned(it, prune);
        Step { name: it.recorded.name.clone(), id: Some(it.id.clone()), action, changes: Vec::new() }
    };
    observed.iter().filter(gone).map(step).collect()
}
