//! The difference between what shall be and what is, as data that leaves no choice to whoever executes it.
//!
//! Pure: the planner reads no file, no clock and no random number. Every field of a sandbox has a class: **live**
//! fields are put in force while it runs, **restart** fields when it is started anew, **create-only** fields never.

mod compare;
pub mod facts;
mod fields;
mod file;
pub mod grant;
mod make;
pub mod render;
mod snapshot;
#[cfg(test)]
mod tests;
mod words;

pub use compare::compare;
pub use file::{FILE_MAX, FileError, input_from, input_text, plan_from, plan_text};
pub use make::make;
pub use snapshot::{Approvals, Noted, Plan, PlanInput, Planned, Reason, VERSION};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{
    desired::{Port, Sandbox},
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
    let contested = needed.max(observed.unfinished).is_some() && takes_a_port(wanted, observed, taken);
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

/// Whether a sandbox would take a port that another one still has.
fn takes_a_port(wanted: &Sandbox, observed: &Observed, taken: &dyn Fn(u16) -> bool) -> bool {
    wanted.ports.iter().any(|port| is_taken(port, observed, taken))
}

/// Whether another sandbox still has this port of the host.
fn is_taken(port: &Port, observed: &Observed, taken: &dyn Fn(u16) -> bool) -> bool {
    port.host.is_some_and(|host| !observed.ports.contains(&host) && taken(host))
}

/// What becomes of a sandbox whose document has disappeared.
fn orphaned(observed: &Observed, prune: bool) -> Action {
    match (prune, observed.orphaned && !matches!(observed.phase, Phase::Starting | Phase::Running)) {
        (true, _) => Action::Remove,
        (false, true) => Action::Nothing,
        (false, false) => Action::Orphan,
    }
}
