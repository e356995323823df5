//! What a plan would do, and what it asks for.

use std::time::Duration;

use serde::Serialize;

use super::{Progress, Source, TrustedTip};
use crate::{
    cli::failure::Failure,
    model::{desired::Sandbox, status::SandboxStatus},
    plan::{Plan, PlanInput},
    store::{How, Owner},
};

/// What files ask for, weighed and carried out.
pub trait Plans {
    /// What it would take to make the documents true.
    ///
    /// # Errors
    /// Findings; a mount that policy denies.
    fn propose(&self, source: &Source, wish: &Wish) -> Result<Proposal, Failure>;

    /// What `delete -f` would remove.
    ///
    /// # Errors
    /// Findings.
    fn propose_delete(&self, source: &Source) -> Result<Proposal, Failure>;

    /// Records that the questions of these ids are answered with yes, and plans the same documents again.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure>;

    /// Remembers what a proposal asks for, so that it can be answered later; changes no machine.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn park(&self, proposal: &Proposal) -> Result<(), Failure>;

    /// Carries a proposal out: what is approved; the rest is parked.
    ///
    /// # Errors
    /// What the first machine failed with; the others are carried on.
    fn apply(
        &self,
        proposal: &Proposal,
        wish: &Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure>;
}

/// How a proposal is made and carried out.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Approve what the operator lets `--yes` approve.
    pub yes: bool,
    /// Start nothing before everything is approved.
    pub require_approved: bool,
    /// Try again what may work by itself, and wait until every sandbox is ready.
    pub wait: bool,
    /// No longer than this.
    pub timeout: Option<Duration>,
    /// Wait until nobody works in a sandbox that is to be started anew.
    pub when_idle: bool,
    /// Remove sandboxes whose document has disappeared, with their disks.
    pub prune: bool,
    /// Start busy sandboxes anew, too.
    pub now: bool,
    /// Of the definitions only this one, and an instance of it even where none is kept.
    pub only: Option<String>,
}

/// What one sandbox needs to become what its document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Made and started.
    Create,
    /// Changed while it runs.
    Update,
    /// Stopped and started with other settings.
    Restart,
    /// Stopped and started with a new system disk.
    Replace,
    /// Started.
    Start,
    /// Stopped, its disks kept.
    Stop,
    /// Nothing.
    Keep,
    /// Stopped and removed.
    Delete,
}

/// One line of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The sandbox.
    pub sandbox: String,
    /// What happens to it.
    pub action: Action,
    /// What it may do afterwards and may not now, in canonical form: `mount ~/datasets read`.
    pub grants: Vec<String>,
    /// What else follows: a restart, a default that applies.
    pub notes: Vec<String>,
}

/// What `apply`, `create` or `delete` would do. Made before anybody is asked, and carried out as it stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Proposal {
    /// In order.
    pub changes: Vec<Change>,
    /// Of the documents.
    pub warnings: Vec<String>,
    /// The refs of this repository that the operator trusts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<TrustedTip>,
    /// What the documents ask for, which nobody has answered. The rest is done without it.
    pub asked: Vec<Asked>,
    /// What they ask for.
    #[serde(skip)]
    pub desired: Vec<Sandbox>,
    /// What is done; none where sandboxes are removed by name.
    #[serde(skip)]
    pub plan: Option<Plan>,
    /// What the plan was made from.
    #[serde(skip)]
    pub input: Option<PlanInput>,
    /// Whose the sandboxes are.
    #[serde(skip)]
    pub owner: Option<Owner>,
    /// Whether the document stands on the command line.
    #[serde(skip)]
    pub typed: bool,
}

impl Proposal {
    /// Whether anything would happen.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        self.changes.iter().any(|change| change.action != Action::Keep)
    }

    /// Whether there is something to say of it: what changes, waits for sessions, or is left alone.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.changes_something() || self.plan.as_ref().is_some_and(Plan::leaves_something)
    }
}

/// A grant that nobody has answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// What `approve` and `reject` call it: a digest of the grant's text. A unique beginning of it will do there.
    pub id: String,
    /// The definition that asks for it.
    pub sandbox: String,
    /// Canonical text.
    pub grant: String,
    /// What its file says about it.
    pub why: String,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether `--yes` approves it.
    pub yes: bool,
    /// Since when it waits, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Commit of the file that asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}
