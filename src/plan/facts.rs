//! What the planner is told about the host beyond its machines: what was refused there, what it lacks, what it has to build
//! first. Whoever asks for a plan looks it up; it is part of the saved input, so the same is planned on every host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, PlanInput, Planned, Reason, grant::Grant, snapshot::Noted};
use crate::model::{name::Name, text::counted};

/// Refusals of one definition, by the grant's canonical text.
pub type Refusals = BTreeMap<String, Refusal>;

/// One refusal. It is not asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// What `approve` calls the grant.
    pub id: String,
    /// Who refused.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A grant that its file asks for and a person refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rejected {
    /// What, with what its file says of it.
    pub asked: Noted,
    /// Who refused it, and how to take that back.
    pub answer: Refusal,
}

/// What a start of one sandbox meets on this host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// What its file needs and this host does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// What of its template is not in the cache.
    #[serde(default, skip_serializing_if = "Unbuilt::is_empty")]
    pub unbuilt: Unbuilt,
}

/// What a sandbox needs and this host does not have: it would not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", deny_unknown_fields)]
pub enum Lack {
    /// A machine as its file demands it.
    Isolation {
        /// What there is, in words.
        message: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A value of a secret that is required.
    Secret {
        /// The operator's name for it.
        secret: String,
        /// What is missing, in words.
        message: String,
        /// Where it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl Lack {
    /// In one line: what, and what to do.
    #[must_use]
    pub fn words(&self) -> String {
        let (Self::Isolation { message, hint } | Self::Secret { message, hint, .. }) = self;
        hint.as_ref().map_or_else(|| message.clone(), |hint| format!("{message}; {hint}"))
    }
}

/// Parts of a template that have to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unbuilt {
    /// Packages of an image.
    #[serde(default)]
    pub packages: usize,
    /// Build steps.
    #[serde(default)]
    pub steps: usize,
}

impl Unbuilt {
    /// Whether all of it is in the cache.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packages == 0 && self.steps == 0
    }

    /// `2 packages, 1 step`.
    #[must_use]
    pub fn words(&self) -> String {
        let packages = (self.packages > 0).then(|| counted(self.packages, "package"));
        let steps = (self.steps > 0).then(|| counted(self.steps, "step"));
        packages.into_iter().chain(steps).collect::<Vec<_>>().join(", ")
    }
}

impl PlanInput {
    /// What a person answered about a grant of a definition with no.
    pub(super) fn refusal(&self, name: &Name, grant: &Grant) -> Option<&Refusal> {
        self.approvals.rejected.get(name)?.get(&grant.to_string())
    }
}

impl Planned {
    /// Whether a machine is started, or would be if nothing waited: what its host lacks is worth a word.
    #[must_use]
    pub fn would_start(&self) -> bool {
        let waits = |reason: &Reason| {
            matches!(
                reason,
                Reason::WaitingForApproval { .. } | Reason::Busy { .. } | Reason::SessionsUnknown { .. }
            )
        };
        matches!(self.action, Action::Create | Action::Start | Action::Restart | Action::Replace)
            || self.reasons.iter().any(waits)
    }

    /// Whether it gets a system disk, or would if nothing waited.
    fn would_build(&self) -> bool {
        let waits = |reason: &Reason| match reason {
            Reason::WaitingForApproval { .. } => self.id.is_none(),
            Reason::Busy { then, .. } | Reason::SessionsUnknown { then } => *then == Action::Replace,
            _ => false,
        };
        matches!(self.action, Action::Create | Action::Replace) || self.reasons.iter().any(waits)
    }

    /// Whether a secret was refused and is put in nowhere, so that nobody misses its value.
    fn refuses(&self, secret: &str) -> bool {
        let of = |grant: &Grant| matches!(grant, Grant::Secret { name, .. } if name == secret);
        let used = self.wanted.iter().flat_map(|wanted| &wanted.secrets).any(|it| it.name == secret);
        let asked = self.parked.iter().any(|noted| of(&noted.grant));
        !used && !asked && self.rejected.iter().any(|it| of(&it.asked.grant))
    }

    /// Takes of what its host has and lacks what concerns what is done.
    pub(super) fn meet(&mut self, facts: &Facts) {
        if self.would_start() {
            let counts = |lack: &&Lack| !matches!(lack, Lack::Secret { secret, .. } if self.refuses(secret));
            self.lacks = facts.lacks.iter().filter(counts).cloned().collect();
        }
        if self.would_build() {
            self.builds = facts.unbuilt;
        }
    }
}
