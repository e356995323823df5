//! What waits, and what was answered.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Asked, Progress};
use crate::{
    cli::failure::Failure,
    model::end::End,
    store::{Approval, FromRef, Owner, Rejection, approvals},
};

/// The inbox, and the answers that were given.
pub trait Approvals {
    /// What waits and what was answered: of the definition that `reference` names, or of all of this user's.
    ///
    /// # Errors
    /// Kind `NotFound` when nothing was ever asked for that name.
    fn inboxes(&self, reference: Option<&str>) -> Result<Vec<Inbox>, Failure>;

    /// The refs that the operator trusts for the repository that the command runs in.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn trusted(&self) -> Result<Vec<TrustedTip>, Failure>;

    /// Records an answer about grants, and carries out at once what it changes in a sandbox that exists.
    ///
    /// # Errors
    /// When the state cannot be written, or the sandbox does not follow.
    fn answer(
        &self,
        inbox: &Inbox,
        grants: &[String],
        answer: &Answer,
        on: &dyn Progress,
    ) -> Result<(), Failure>;
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
    /// Texts of grants that no file asks for: a default of ours does.
    #[serde(skip)]
    pub by_default: Vec<String>,
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
