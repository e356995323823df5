//! What a plan would do, what it asks for, and what was answered.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    model::{desired::Sandbox, end::End},
    plan::{Plan, PlanInput},
    store::{Approval, FromRef, Owner, Rejection, approvals},
};

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

/// What waits and what was answered for one definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inbox {
    /// Whose it is.
    #[serde(skip)]
    pub owner: Owner,
    /// The folder that people know it by.
    pub place: String,
    /// The definition.
    pub sandbox: String,
    /// What waits.
    pub asked: Vec<Asked>,
    /// Texts of the approvals that count now.
    #[serde(skip)]
    pub in_force: Vec<String>,
    /// Those of them that `--yes` would approve.
    #[serde(skip)]
    pub by_yes: Vec<String>,
    /// What counts because a trusted ref says so.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "with_ids")]
    pub committed: Vec<FromRef>,
    /// What was approved.
    #[serde(serialize_with = "with_ids")]
    pub approved: Vec<Approval>,
    /// What was rejected, and is not asked for again.
    #[serde(serialize_with = "with_ids")]
    pub rejected: Vec<Rejection>,
}

impl Inbox {
    /// The approvals that count now, with their ends.
    #[must_use]
    pub fn in_force(&self) -> Vec<(String, Option<End>)> {
        let counting = self.approved.iter().filter(|approval| self.in_force.contains(&approval.grant));
        counting.map(|approval| (approval.grant.clone(), approval.end())).collect()
    }

    /// The ids of everything in it.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let asked = self.asked.iter().map(|asked| asked.id.clone());
        let committed = self.committed.iter().map(|from| &from.grant);
        let approved = self.approved.iter().map(|approval| &approval.grant);
        let rejected = self.rejected.iter().map(|rejection| &rejection.grant);
        let answered = committed.chain(approved).chain(rejected);
        asked.chain(answered.map(|grant| approvals::id(grant))).collect()
    }
}

/// An answer with what it is called.
#[derive(Serialize)]
struct Numbered<'a, T> {
    id: String,
    #[serde(flatten)]
    answer: &'a T,
}

fn with_ids<T: Serialize + AsRef<str>, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|answer| Numbered { id: approvals::id(answer.as_ref()), answer }))
}

/// A ref of this repository that the operator trusts, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrustedTip {
    /// The ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The repository.
    pub repository: String,
    /// Its tip, where that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl fmt::Display for TrustedTip {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.commit, &self.signer, &self.problem) {
            (Some(commit), Some(signer), None) => {
                let short = commit.get(..12).unwrap_or(commit);
                write!(to, "approvals of {} at {short} count, signed by {signer}", self.reference)
            }
            (.., problem) => {
                let why = problem.as_deref().unwrap_or("it was not looked at");
                write!(to, "approvals of {} do not count: {why}", self.reference)
            }
        }
    }
}

/// An answer about grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They may.
    Approve {
        /// Until this time, RFC 3339 in UTC.
        until: Option<String>,
    },
    /// They may not; an approval is withdrawn.
    Reject,
}
