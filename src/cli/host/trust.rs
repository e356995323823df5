//! Committed approvals: what of `.cofferdam/approvals.yaml` counts on this host.
//!
//! ```text
//! operator: ref, repository, signers ─┐
//! .git/config: url of the remote ─────┤ is this clone of that repository? else the entry is not for it
//! ref ─▶ commit ─▶ signature ─────────┤ by one of `signers`, for git, of this commit
//!              └─▶ descent ───────────┤ from `since` and from what was seen here before
//!              └─▶ approvals.yaml ────┘ from the commit's tree; names the same repository
//! ```
//!
//! Whoever writes the repository (an agent with a direct workspace, a remote) chooses refs and objects. It cannot choose
//! who signs, what was seen before, or what the operator wrote; and a commit of the same signers in another repository
//! names that one. A commit does not say for which branch it was signed: what `signers` sign anywhere can count.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{Host, approval::answered, machines::state_failure};
use crate::{
    cli::{committed, failure::Failure, ops::TrustedTip},
    kit::{Repository, Tree as _},
    model::{config::TrustedRef, desired::Sandbox, end::End, name::Name, remote::RemoteName, signer::Signer},
    plan::grant::{Grant, Ground, granted},
    review::{Check, Checks, History, HistoryError, SignatureError, SignerError},
    store::{FromRef, Owner, Rejection},
};

/// Why the approvals of a ref do not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    /// The ref is not there.
    #[error("there is no such ref here; fetch it")]
    NoReference,
    /// Nobody that counts has signed its commit.
    #[error("commit {commit}: {error}")]
    Signature { commit: String, error: SignatureError },
    /// Objects cannot be read.
    #[error("{error}{}", if *.shallow { " (this clone is shallow: git fetch --unshallow)" } else { "" })]
    History { error: HistoryError, shallow: bool },
    /// It went back, or its history was rewritten.
    #[error(
        "commit {commit} does not come after {seen}, which was seen here before: the ref went back, or its history was rewritten; if that is right, look at what it approves and write `since: {commit}` into its entry of approvals.trust"
    )]
    WentBack { commit: String, seen: String },
    /// It is outside of what the operator named.
    #[error("commit {commit} does not come after {since} (`since`)")]
    Outside { commit: String, since: String },
    /// The file is wrong, or is of another kind than a file.
    #[error("commit {commit}: {}: {reason}", committed::FILE)]
    File { commit: String, reason: String },
    /// The file is another repository's, or nobody's.
    #[error("commit {commit}: {} {}", committed::FILE, of(.named.as_ref(), .wanted))]
    Repository { commit: String, named: Option<RemoteName>, wanted: RemoteName },
}

fn of(named: Option<&RemoteName>, wanted: &RemoteName) -> String {
    match named {
        Some(named) => format!("is of {named}, not of {wanted}"),
        None => format!("does not say of which repository it is: add `metadata: {{repository: {wanted}}}`"),
    }
}

/// A tip that counts.
#[derive(Debug)]
pub(super) struct Tip {
    pub commit: String,
    pub signer: Signer,
    pub file: committed::Written,
    /// Whether it is known to be of this repository: its file says so, or what it descends from.
    pub bound: bool,
}

/// What committed approvals come to for one owner.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// What counts now.
    pub definitions: BTreeMap<Name, Vec<FromRef>>,
    /// Where it comes from, and what does not count.
    pub tips: Vec<TrustedTip>,
}

/// Judges the ref of an entry. `seen` is its newest commit that was seen here.
pub(super) fn judge(
    repository: &Repository,
    entry: &TrustedRef,
    seen: Option<&str>,
    checks: Checks,
) -> Result<Tip, TrustError> {
    let unread = |error| TrustError::History { error, shallow: repository.is_shallow() };
    let id = repository.reference(&entry.reference).ok_or(TrustError::NoReference)?;
    let history = History::open(&repository.common_dir).map_err(unread)?;
    let commit = history.commit(&id, 0).map_err(unread)?;
    let signer = history.signer(&commit, &entry.signers, checks).map_err(|error| match error {
        SignerError::History(error) => unread(error),
        SignerError::Signature(error) => TrustError::Signature { commit: commit.clone(), error },
    })?;
    let after = |ancestor: Option<&str>| match ancestor {
        Some(ancestor) if ancestor != commit && !checks.skips(Check::Descent) => {
            history.descends(&commit, ancestor).map_err(unread)
        }
        _ => Ok(true),
    };
    if !after(entry.since.as_deref())? {
        return Err(TrustError::Outside { since: entry.since.clone().unwrap_or_default(), commit });
    }
    if !after(seen)? {
        return Err(TrustError::WentBack { seen: seen.unwrap_or_default().to_owned(), commit });
    }
    let tree = history.files(&commit, &repository.root).map_err(unread)?;
    let wrong = |reason: String| TrustError::File { commit: commit.clone(), reason };
    let Some(bytes) = tree.read(committed::FILE, committed::FILE_MAX).map_err(wrong)? else {
        let bound = entry.since.is_some() || seen.is_some();
        return Ok(Tip { commit, signer, file: committed::Written::default(), bound });
    };
    let file = committed::read(&bytes).map_err(|failure| wrong(placed(&failure)))?;
    if file.repository.as_ref() != Some(&entry.repository) && !checks.skips(Check::Repository) {
        let wanted = entry.repository.clone();
        return Err(TrustError::Repository { commit, named: file.repository, wanted });
    }
    Ok(Tip { commit, signer, file, bound: true })
}

/// The first thing that is wrong, with its line.
fn placed(failure: &Failure) -> String {
    let object = failure.object();
    let line = object.line.map_or_else(String::new, |line| format!("line {line}: "));
    format!("{line}{}", object.message)
}

/// Whether a clone is of the repository that an entry names, by where its remote is fetched from.
fn concerns(repository: &Repository, entry: &TrustedRef) -> bool {
    let remote = entry.reference.strip_prefix("refs/remotes/").and_then(|rest| rest.split_once('/'));
    let url = repository.remote(remote.map_or("origin", |(remote, _)| remote));
    url.and_then(|url| url.parse::<RemoteName>().ok()).is_some_and(|name| name == entry.repository)
}

impl Host {
    /// What the operator trusts. An organisation's own list will stand before it.
    fn trusted_refs(&self) -> &[TrustedRef] {
        &self.config.approvals.trust
    }

    /// The approvals of the refs that are trusted in the repository of `owner`. What does not count is no failure: its
    /// grants wait like any others.
    pub(super) fn committed(&self, owner: &Owner) -> Result<Committed, Failure> {
        let mut all = Committed::default();
        let Owner::Repository { path, dev, ino, .. } = owner else { return Ok(all) };
        if self.trusted_refs().is_empty() {
            return Ok(all);
        }
        let found = Repository::shared(path).filter(|found| (found.device, found.inode) == (*dev, *ino));
        let Some(repository) = found else { return Ok(all) };
        let now = Timestamp::now();
        for entry in self.trusted_refs().iter().filter(|entry| concerns(&repository, entry)) {
            let mut line = TrustedTip {
                reference: entry.reference.clone(),
                repository: entry.repository.to_string(),
                commit: None,
                signer: None,
                problem: None,
            };
            match self.counted(owner, &repository, entry)? {
                Err(error) => line.problem = Some(error.to_string()),
                Ok(tip) => {
                    line.commit = Some(tip.commit.clone());
                    line.signer = Some(tip.signer.name.clone());
                    for (name, held) in tip.file.definitions {
                        let held = held.at(now);
                        let grants = held
                            .sources()
                            .flat_map(|(end, set)| set.grants().iter().map(move |it| (it, end)));
                        all.definitions.entry(name).or_default().extend(grants.map(|(grant, until)| {
                            FromRef {
                                grant: grant.to_string(),
                                until,
                                reference: entry.reference.clone(),
                                commit: tip.commit.clone(),
                                signer: tip.signer.name.clone(),
                            }
                        }));
                    }
                }
            }
            all.tips.push(line);
        }
        Ok(all)
    }

    /// Judges an entry, and remembers its commit as the newest that was seen.
    fn counted(
        &self,
        owner: &Owner,
        repository: &Repository,
        entry: &TrustedRef,
    ) -> Result<Result<Tip, TrustError>, Failure> {
        let since = entry.since.as_deref().unwrap_or("-");
        let key = format!("{} {} {since}", entry.repository, entry.reference);
        let seen = self.store.tip(owner, &key).map_err(state_failure)?;
        let tip = match judge(repository, entry, seen.as_deref(), Checks::default()) {
            Ok(tip) => tip,
            Err(error) => return Ok(Err(error)),
        };
        if tip.bound && seen.as_deref() != Some(&tip.commit) {
            self.store.remember_tip(owner, &key, seen.as_deref(), &tip.commit).map_err(state_failure)?;
        }
        Ok(Ok(tip))
    }

    /// Remembers what counts for a definition because a trusted ref says so, and records what is new of it.
    pub(super) fn note_committed(
        &self,
        owner: &Owner,
        wanted: &Sandbox,
        ground: &Ground,
    ) -> Result<(), Failure> {
        let committed = self.committed(owner)?.definitions.remove(&wanted.name).unwrap_or_default();
        let asked = granted(wanted, ground);
        let mut known = self.store.approvals(owner).map_err(state_failure)?;
        let before = known.definitions.remove(wanted.name.as_str()).unwrap_or_default();
        let mut used: Vec<FromRef> = Vec::new();
        for (grant, _) in not_rejected(&committed, &before.rejected) {
            if asked.iter().any(|asked| grant.covers(&asked.grant)) {
                let text = grant.to_string();
                used.extend(committed.iter().find(|from| from.grant == text).cloned());
            }
        }
        if used == before.committed {
            return Ok(());
        }
        let new = used.iter().filter(|from| before.committed.iter().all(|old| old.grant != from.grant));
        let draft = |from: &FromRef| {
            let detail = [
                ("ref", json!(from.reference)),
                ("commit", json!(from.commit)),
                ("signer", json!(from.signer)),
                ("until", json!(from.until)),
            ];
            answered("approve", owner, &from.grant, detail)
        };
        // The events first: nothing counts that the trail does not know of.
        self.note_all(new.map(draft).collect(), Some(wanted))?;
        self.edit_definition(owner, wanted.name.as_str(), |definition| definition.committed = used)
    }
}

/// The committed approvals that nobody has refused here: one that covers a refused grant does not count.
pub(super) fn not_rejected<'a>(
    committed: &'a [FromRef],
    rejected: &[Rejection],
) -> impl Iterator<Item = (Grant, Option<End>)> + use<'a> {
    let refused: Vec<Grant> = rejected.iter().filter_map(|it| it.grant.parse().ok()).collect();
    let grants = committed.iter().filter_map(|from| Some((from.grant.parse::<Grant>().ok()?, from.until)));
    grants.filter(move |(grant, _)| !refused.iter().any(|refused| grant.covers(refused)))
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
