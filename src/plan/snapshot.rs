//! What a plan is made from, and what it is: data that can be saved, looked at, and planned or carried out again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Action, Change, Observed, Step,
    facts::{Facts, Lack, Refusals, Rejected, Unbuilt},
    grant::{Grant, GrantSet, Ground, Held, Waits},
};
use crate::model::{
    desired::Sandbox,
    end::End,
    name::{Name, SandboxId},
    registry::Registry,
    rule::Origin,
};

/// Version of both forms. Another one is refused.
pub const VERSION: u32 = 1;

/// Everything that the planner looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanInput {
    /// What paths are named from.
    pub ground: Ground,
    /// What the files say, in any order.
    pub desired: Vec<Sandbox>,
    /// Files and folders that were read: a sandbox that came from one of them and is no longer there is an orphan.
    #[serde(default)]
    pub scope: Vec<PathBuf>,
    /// What there is, in any order.
    #[serde(default)]
    pub observed: Vec<Observed>,
    /// Open sessions of running sandboxes.
    #[serde(default)]
    pub sessions: BTreeMap<SandboxId, u32>,
    /// Sandboxes whose keeper lives and did not answer in time: whether sessions are open is unknown.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub silent: BTreeSet<SandboxId>,
    /// Sandboxes that a person has taken out of reconciling.
    #[serde(default)]
    pub suspended: BTreeSet<SandboxId>,
    /// What was approved.
    #[serde(default)]
    pub approvals: Approvals,
    /// Whether a machine with open sessions is started anew.
    #[serde(default)]
    pub now: bool,
    /// Whether orphans are removed with their disks.
    #[serde(default)]
    pub prune: bool,
    /// When: a rule that has ended by then asks for nothing and is left out. None: rules are taken as they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What starts of these sandboxes meet on this host; nothing where no host is looked at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<Name, Facts>,
    /// What the registries of rules are here, and who says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registries: BTreeMap<String, Registry>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approvals {
    /// For every definition: the operator's baseline.
    #[serde(default)]
    pub baseline: GrantSet,
    /// For one definition each.
    #[serde(default)]
    pub definitions: BTreeMap<Name, Held>,
    /// What was refused, for one definition each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<Name, Refusals>,
}

/// What is to be done. Leaves no choice to whoever carries it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// What paths are named from.
    pub ground: Ground,
    /// For each sandbox: first what goes, then the others by name.
    pub steps: Vec<Planned>,
    /// What the registries of rules are here, and who says so; none where no host is looked at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registries: BTreeMap<String, Registry>,
}

/// What is to be done for one sandbox, and why no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Planned {
    /// Which.
    pub name: Name,
    /// Its identity, when it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SandboxId>,
    /// Generation of its record that this was planned against; the plan is stale when it has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What is done.
    pub action: Action,
    /// Fields that differ, with their class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What is recorded; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Box<Sandbox>>,
    /// What it may do afterwards and may not now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Noted>,
    /// What it may do now and may not afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub narrows: Vec<Noted>,
    /// What its file asks for and nobody has answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Noted>,
    /// What its file asks for and a person refused: it is left out, and nobody is asked again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// What this host does not have and a start needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// What of its template is built first.
    #[serde(default, skip_serializing_if = "Unbuilt::is_empty")]
    pub builds: Unbuilt,
    /// Why nothing is done, or not all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Open sessions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sessions: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A grant, with what its file says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Noted {
    /// Which.
    pub grant: Grant,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// File that asks for it, as its user knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl Noted {
    /// `file:line`, or the file.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        Some(self.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
    }
}

/// Why nothing is done for a sandbox, or not all that its file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason", deny_unknown_fields)]
pub enum Reason {
    /// It is as it shall be.
    InSync,
    /// Nothing makes an instance but `run`.
    StartOnDemand,
    /// A person has taken it out of reconciling.
    Suspended,
    /// Some of what its file asks for waits for an approval; the rest is done.
    Parked,
    /// Some of what its file asks for was refused; the rest is done.
    Rejected,
    /// All of it waits: what is not approved cannot be left out.
    WaitingForApproval {
        /// What it is.
        waits: Waits,
    },
    /// Nothing of it is done: what was refused cannot be left out.
    Refused {
        /// What it is.
        waits: Waits,
    },
    /// Another file defines it than the one that it was made from.
    DefinitionMoved {
        /// Where it stood; none: in no file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Where it stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Sessions are open, so what needs another start waits.
    Busy {
        /// How many.
        sessions: u32,
        /// What would be done.
        then: Action,
    },
    /// Whether sessions are open is unknown, because its keeper does not answer; so what needs another start waits.
    SessionsUnknown {
        /// What would be done.
        then: Action,
    },
    /// The field is fixed when the sandbox is created. It stays as it is, the others change.
    CreateOnly {
        /// Its path in `spec`.
        field: String,
    },
    /// In a comparison of definitions: the field counts for sandboxes that are made from now on.
    ForNew {
        /// Its path in `spec`.
        field: String,
    },
    /// Its document is gone.
    Orphaned,
    /// A pass that was interrupted is finished.
    Unfinished,
    /// A rule of its file has ended.
    RuleEnded {
        /// The rule's pattern.
        pattern: String,
        /// When it ended.
        until: End,
        /// Where it stands.
        origin: Origin,
    },
}

impl Planned {
    /// Why something of it waits until nobody works in it.
    #[must_use]
    pub fn waits_for_sessions(&self) -> Option<&Reason> {
        let waits = |reason: &&Reason| matches!(reason, Reason::Busy { .. } | Reason::SessionsUnknown { .. });
        self.reasons.iter().find(waits)
    }

    /// Whether anything is done, or would be for a new one.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        let for_new = |reason: &Reason| matches!(reason, Reason::ForNew { .. });
        self.action != Action::Nothing || self.reasons.iter().any(for_new)
    }

    /// Whether a person has taken it out of reconciling.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.reasons.contains(&Reason::Suspended)
    }
}

impl Plan {
    /// The steps as the reconciler takes them.
    #[must_use]
    pub fn executable(&self) -> Vec<Step> {
        let step = |planned: &Planned| Step {
            name: planned.name.clone(),
            id: planned.id.clone(),
            action: planned.action,
            changes: planned.changes.clone(),
        };
        self.steps.iter().filter(|planned| planned.action != Action::Nothing).map(step).collect()
    }

    /// What the reconciler records.
    #[must_use]
    pub fn wanted(&self) -> Vec<Sandbox> {
        self.steps.iter().filter_map(|planned| planned.wanted.as_deref().cloned()).collect()
    }

    /// Whether anything is done.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        self.steps.iter().any(Planned::changes_something)
    }

    /// Whether something is permitted afterwards that is not now, or would be once it is approved.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.steps.iter().any(|planned| !planned.grants.is_empty() || !planned.parked.is_empty())
    }

    /// Whether something is not done for another reason than a missing approval: a person who reads only what is done
    /// would miss it.
    #[must_use]
    pub fn leaves_something(&self) -> bool {
        let leaves = |reason: &Reason| {
            matches!(
                reason,
                Reason::Suspended
                    | Reason::Refused { .. }
                    | Reason::Busy { .. }
                    | Reason::SessionsUnknown { .. }
                    | Reason::CreateOnly { .. }
            )
        };
        self.steps.iter().any(|planned| planned.reasons.iter().any(leaves))
    }

    /// What cannot be left out and is not approved, with the sandbox that does not start without it.
    pub fn blocked(&self) -> impl Iterator<Item = (&Name, &Grant)> {
        self.steps.iter().flat_map(|planned| {
            planned.reasons.iter().filter_map(|reason| match reason {
                Reason::WaitingForApproval { waits } => Some((&planned.name, waits.grant())),
                _ => None,
            })
        })
    }

    /// The steps without what a host lacks or has to build for them: whether two plans do the same.
    pub fn deeds(&self) -> impl Iterator<Item = Planned> {
        let bare = |step: Planned| Planned { lacks: Vec::new(), builds: Unbuilt::default(), ..step };
        self.steps.iter().cloned().map(bare)
    }

    /// Whether something waits for an approval.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.steps.iter().any(|planned| !planned.parked.is_empty())
    }
}
