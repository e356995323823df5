//! What people approved for the sandboxes of one repository, and what still waits for them: a file per owner.
//!
//! An approval is bound to the owner (path, device and inode of the repository) and the definition's name, and to
//! nothing that a repository's file can say. No guest reaches this directory: the floor denies it to every mount.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{desired::Sandbox, end::End, progress::Obstructed};

use super::{
    file::{self, StoreError, Versioned},
    lock::Lock,
    owner::Owner,
    state::Store,
};

/// Most entries of each kind that one definition has: what a person can be asked to read, many times over.
pub const ENTRIES_MAX: usize = 4_096;
/// Most definitions that one owner has.
pub const DEFINITIONS_MAX: usize = 4_096;

/// Everything that is remembered for one owner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    /// Whose; none in a set that was never written.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// Counts up with every change.
    #[serde(default)]
    pub revision: u64,
    /// By the definition's name.
    #[serde(default)]
    pub definitions: BTreeMap<String, Definition>,
}

impl Versioned for Approvals {
    const VERSION: u16 = 1;
    const MAX: u64 = 64 << 20;
    const MEND: &'static str = "put it right; if you move it away, every grant of its repository asks again";
}

/// What is remembered for one definition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// In the order in which they were given.
    #[serde(default)]
    pub approved: Vec<Approval>,
    /// Grants that were refused: they are not asked for again.
    #[serde(default)]
    pub rejected: Vec<Rejection>,
    /// Grants that the last `apply` asked for and nobody has answered.
    #[serde(default)]
    pub parked: Vec<Parked>,
    /// What counted at the last `apply` because a trusted ref says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub committed: Vec<FromRef>,
    /// The whole document as it was applied last: what an approval makes of it needs no second reading of a file that
    /// somebody else may have changed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Box<Sandbox>>,
    /// What kept the last `apply` from making its sandbox, where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstructed: Option<Obstructed>,
    /// The repository's root as it was then; outside of one the folder that stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
}

/// How an approval was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// `approve`, or a yes to the list that `apply` showed.
    Asked,
    /// `--yes`.
    Yes,
    /// The grant stood on the command line that made the sandbox. It goes when the sandbox goes.
    Typed,
}

/// One approved grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Canonical text.
    pub grant: String,
    /// Who approved.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// How.
    pub how: How,
    /// Commit of the file that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// From when on it counts no more, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Approval {
    /// Its end, where it has one that reads.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.until.as_deref().and_then(|until| until.parse().ok())
    }
}

/// One grant that the file of a trusted ref approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FromRef {
    /// Canonical text.
    pub grant: String,
    /// From when on it counts no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<End>,
    /// The ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its commit.
    pub commit: String,
    /// Who signed that.
    pub signer: String,
}

/// One refused grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Canonical text.
    pub grant: String,
    /// Who refused.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// One grant that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// Canonical text.
    pub grant: String,
    /// What the file says about it; hostile text.
    #[serde(default)]
    pub why: String,
    /// Where it stands, `sandbox.yaml:12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Since when it waits, RFC 3339.
    pub since: String,
    /// Commit of the file that asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl AsRef<str> for Approval {
    fn as_ref(&self) -> &str {
        &self.grant
    }
}

impl AsRef<str> for FromRef {
    fn as_ref(&self) -> &str {
        &self.grant
    }
}

impl AsRef<str> for Rejection {
    fn as_ref(&self) -> &str {
        &self.grant
    }
}

impl Definition {
    /// Remembers approvals; each takes the place of what was said of the same grant before.
    pub fn approve(&mut self, approvals: impl IntoIterator<Item = Approval>) {
        for approval in approvals {
            self.approved.retain(|other| other.grant != approval.grant);
            self.rejected.retain(|other| other.grant != approval.grant);
            self.parked.retain(|other| other.grant != approval.grant);
            self.approved.push(approval);
        }
    }

    /// Remembers refusals; an approval of the same grant is withdrawn.
    pub fn reject(&mut self, rejections: impl IntoIterator<Item = Rejection>) {
        for rejection in rejections {
            self.approved.retain(|other| other.grant != rejection.grant);
            self.rejected.retain(|other| other.grant != rejection.grant);
            self.parked.retain(|other| other.grant != rejection.grant);
            self.rejected.push(rejection);
        }
    }

    /// Replaces what waits. What waited before keeps its time.
    pub fn park(&mut self, mut parked: Vec<Parked>) {
        for entry in &mut parked {
            if let Some(before) = self.parked.iter().find(|before| before.grant == entry.grant) {
                entry.since.clone_from(&before.since);
            }
        }
        self.parked = parked;
    }

    /// The approvals that count at `now`. Both times are RFC 3339 in UTC with a `Z`, so their order is that of their
    /// texts, to the second.
    pub fn in_force<'a>(&'a self, now: &'a str) -> impl Iterator<Item = &'a Approval> {
        let counts =
            |approval: &&Approval| approval.until.as_deref().is_none_or(|until| second(now) < second(until));
        self.approved.iter().filter(counts)
    }

    /// Whether it is a command line's: something of it was typed.
    #[must_use]
    pub fn is_typed(&self) -> bool {
        self.approved.iter().any(|approval| approval.how == How::Typed)
    }

    /// How many entries its longest list has.
    fn entries(&self) -> usize {
        let lists = [self.approved.len(), self.rejected.len(), self.parked.len(), self.committed.len()];
        lists.into_iter().max().unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Fewest digits of an id that are shown and understood.
pub const ID_SHORT: usize = 12;

/// What a grant is called: its text's SHA-256, in hexadecimal digits. All of it: whoever writes a repository's files
/// chooses the texts, and finds two with the same 48 bits in seconds, with the same 128 bits given enough of them.
#[must_use]
pub fn id(grant: &str) -> String {
    Sha256::digest(grant).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How people write an id: the shortest beginning of it, of [`ID_SHORT`] digits or more, that no other of `among` has.
#[must_use]
pub fn short<S: AsRef<str>>(id: &str, among: impl IntoIterator<Item = S>) -> &str {
    let same = |other: &str| id.bytes().zip(other.bytes()).take_while(|(own, other)| own == other).count();
    let others = among.into_iter().filter(|other| other.as_ref() != id);
    let longest = others.map(|other| same(other.as_ref()) + 1).max().unwrap_or_default();
    id.get(..longest.max(ID_SHORT)).unwrap_or(id)
}

/// `2026-12-31T00:00:00` of a time with or without fractions of a second.
fn second(time: &str) -> &str {
    time.get(..19).unwrap_or(time)
}

/// Why approvals were not written.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalsError {
    /// There are too many.
    #[error(
        "`{definition}` has more than {ENTRIES_MAX} grants, which nobody can judge; let its file ask for less"
    )]
    TooMany {
        /// Which definition.
        definition: String,
    },
    /// There are too many definitions.
    #[error("{owner} has more than {DEFINITIONS_MAX} definitions")]
    TooManyDefinitions {
        /// Whose.
        owner: Owner,
    },
    /// The state directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// What is remembered for `owner`; nothing yet is an empty set.
    ///
    /// # Errors
    /// When the file is damaged, or another owner's: then nothing counts as approved, and nothing goes on.
    pub fn approvals(&self, owner: &Owner) -> Result<Approvals, StoreError> {
        let path = self.of_owner("approvals", owner);
        let found: Approvals = file::read(&path)?.unwrap_or_default();
        if found.owner.as_ref().is_some_and(|other| other != owner) {
            return Err(StoreError::damaged(&path, "it holds the approvals of another owner"));
        }
        bounded(found, &path)
    }

    /// Everything that is remembered, for every owner, and why the rest cannot be read: what is damaged for one
    /// repository concerns no other.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all_approvals(&self) -> Result<(Vec<Approvals>, Vec<StoreError>), StoreError> {
        let folder = self.policy();
        let (mut all, mut unreadable) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
            let entry = entry.map_err(StoreError::io("read", &folder))?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with("approvals-") && name.ends_with(".json")) {
                let bounded =
                    |found: Option<Approvals>| found.map(|it| bounded(it, &entry.path())).transpose();
                match file::read::<Approvals>(&entry.path()).and_then(bounded) {
                    Ok(found) => all.extend(found),
                    Err(error) => unreadable.push(error),
                }
            }
        }
        all.sort_by_cached_key(place);
        unreadable.sort_by_cached_key(ToString::to_string);
        Ok((all, unreadable))
    }

    /// Changes what is remembered for one definition, in one revision: readers see all of `change` or nothing of it.
    ///
    /// # Errors
    /// When it would hold more than a person can judge, or the state directory refuses.
    pub fn edit_approvals<T>(
        &self,
        owner: &Owner,
        definition: &str,
        change: impl FnOnce(&mut Definition) -> T,
    ) -> Result<T, ApprovalsError> {
        let _lock = Lock::wait(&self.policy().join("lock"))?;
        let before = self.approvals(owner)?;
        let mut after = before.clone();
        let entry = after.definitions.entry(definition.to_owned()).or_default();
        let outcome = change(entry);
        if entry.entries() > ENTRIES_MAX {
            return Err(ApprovalsError::TooMany { definition: definition.to_owned() });
        }
        after.definitions.retain(|_, definition| !definition.is_empty());
        if after.definitions.len() > DEFINITIONS_MAX {
            return Err(ApprovalsError::TooManyDefinitions { owner: owner.clone() });
        }
        if after.definitions != before.definitions {
            after.owner = Some(owner.clone());
            after.revision = before.revision + 1;
            file::write(&self.of_owner("approvals", owner), &after)?;
        }
        Ok(outcome)
    }
}

/// What was read, where it holds no more than is ever written: each grant is compared with each.
fn bounded(found: Approvals, path: &Path) -> Result<Approvals, StoreError> {
    if found.definitions.len() > DEFINITIONS_MAX {
        let reason = format!("it holds more than {DEFINITIONS_MAX} definitions");
        return Err(StoreError::damaged(path, reason));
    }
    match found.definitions.iter().find(|(_, definition)| definition.entries() > ENTRIES_MAX) {
        None => Ok(found),
        Some((name, _)) => {
            let reason = format!("it holds more than {ENTRIES_MAX} grants of `{}`", name.escape_debug());
            Err(StoreError::damaged(path, reason))
        }
    }
}

fn place(approvals: &Approvals) -> String {
    approvals.owner.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
