//! Rules that commands added: this user's own, those for one repository's sandboxes, and those of one sandbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{desired::Preset, name::SandboxId, rule::NetworkRule};

use super::{
    file::{self, StoreError, Versioned},
    lock::Lock,
    owner::Owner,
    state::Store,
};

/// For which sandboxes a set of rules stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All of this user's.
    User,
    /// Those of one repository or folder.
    Owner(&'a Owner),
    /// One sandbox, for its life.
    Sandbox(&'a SandboxId),
}

/// One set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSet {
    /// Counts up with every change.
    #[serde(default)]
    pub revision: u64,
    /// The number that the next rule gets. It never goes back: an id in an old event means one rule for ever.
    #[serde(default)]
    next: u64,
    /// The preset that `policy reset` chose, in place of the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The rules, in the order in which they were added.
    #[serde(default)]
    pub rules: Vec<NetworkRule>,
}

impl Versioned for RuleSet {
    const VERSION: u16 = 1;
    const MAX: u64 = 16 << 20;
    const MEND: &'static str =
        "put it right; if you move it away, none of its rules counts any more, denials neither";
}

impl RuleSet {
    /// Adds a rule and gives it its id: `<prefix>/<number>`. The id that it came with is not kept.
    pub fn add(&mut self, prefix: &str, mut rule: NetworkRule) -> &NetworkRule {
        self.next += 1;
        rule.id = format!("{prefix}/{}", self.next);
        self.rules.push(rule);
        &self.rules[self.rules.len() - 1]
    }

    /// Removes the rules that `which` picks, and gives them back.
    pub fn remove(&mut self, mut which: impl FnMut(&NetworkRule) -> bool) -> Vec<NetworkRule> {
        let (gone, kept) = std::mem::take(&mut self.rules).into_iter().partition(|rule| which(rule));
        self.rules = kept;
        gone
    }
}

/// What commands added for one sandbox, in every scope that concerns it.
#[derive(Debug, Default)]
pub struct Added {
    /// The preset that one of them chose.
    pub preset: Option<Preset>,
    /// Their rules.
    pub rules: Vec<NetworkRule>,
}

impl Store {
    /// The rules of one scope; none yet is an empty set.
    ///
    /// # Errors
    /// When the file is damaged: rules that cannot be read may be denials, so nothing goes on without them.
    pub fn rules(&self, scope: Scope<'_>) -> Result<RuleSet, StoreError> {
        Ok(file::read(&self.rules_path(scope))?.unwrap_or_default())
    }

    /// What commands added in all of `scopes`, which go from the widest to the narrowest: the narrowest that chose a
    /// preset counts.
    ///
    /// # Errors
    /// When a file is damaged.
    pub fn added<'a>(&self, scopes: impl IntoIterator<Item = Scope<'a>>) -> Result<Added, StoreError> {
        let mut added = Added::default();
        for scope in scopes {
            let set = self.rules(scope)?;
            added.preset = set.preset.or(added.preset);
            added.rules.extend(set.rules);
        }
        Ok(added)
    }

    /// Changes the rules of one scope in one revision: readers see all of `change` or nothing of it. An error of
    /// `change` leaves them as they were, and so does a change that changes nothing.
    ///
    /// # Errors
    /// The outer one when the state directory refuses, the inner one as `change` says.
    pub fn edit_rules<T, E>(
        &self,
        scope: Scope<'_>,
        change: impl FnOnce(&mut RuleSet) -> Result<T, E>,
    ) -> Result<Result<(RuleSet, T), E>, StoreError> {
        let _lock = match scope {
            Scope::User | Scope::Owner(_) => Lock::wait(&self.policy().join("lock"))?,
            Scope::Sandbox(id) => self.sandbox(id).lock_edit()?,
        };
        let before = self.rules(scope)?;
        let mut after = before.clone();
        let outcome = match change(&mut after) {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Err(error)),
        };
        if after != before {
            after.revision = before.revision + 1;
            file::write(&self.rules_path(scope), &after)?;
        }
        Ok(Ok((after, outcome)))
    }

    fn rules_path(&self, scope: Scope<'_>) -> PathBuf {
        match scope {
            Scope::User => self.policy().join("user.json"),
            Scope::Owner(owner) => self.of_owner("owner", owner),
            Scope::Sandbox(id) => self.sandbox(id).policy(),
        }
    }

    /// The file that holds something of an owner. One of an older release, which knew no time of birth, is taken over
    /// by the first that asks.
    pub(super) fn of_owner(&self, what: &str, owner: &Owner) -> PathBuf {
        let path = |owner: &Owner| self.policy().join(format!("{what}-{}.json", key(owner)));
        let own = path(owner);
        if let Some(older) = owner.unborn()
            && !own.exists()
        {
            // Where there is none, which is the rule, nothing is to be done.
            let _ = std::fs::rename(path(&older), &own);
        }
        own
    }
}

/// A file name for an owner: its path may be longer than one.
pub(super) fn key(owner: &Owner) -> String {
    let bytes = serde_json::to_vec(owner).expect("an owner's keys are all strings");
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::rule::{Addresses, During, Effect, HostPattern, Layer, Origin, Ports},
        store::sandbox::tests::owner,
    };

    fn rule(host: &str) -> NetworkRule {
        NetworkRule {
            until: None,
            id: String::new(),
            effect: Effect::Deny,
            host: HostPattern::Exact(host.into()),
            ports: Ports::ALL,
            protocol: None,
            http: Vec::new(),
            addresses: Addresses::Public,
            during: During::Always,
            set: None,
            why: "test".into(),
            origin: Origin { layer: Layer::User, file: None, line: None },
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn rules_get_ids_that_never_come_twice() {
        let (_dir, store) = store();
        let add = |host: &str| {
            let edit = |set: &mut RuleSet| Ok::<_, ()>(set.add("user", rule(host)).id.clone());
            let (set, id) = store.edit_rules(Scope::User, edit).unwrap().unwrap();
            (set.revision, id)
        };
        assert_eq!(add("a.example"), (1, "user/1".into()));
        assert_eq!(add("b.example"), (2, "user/2".into()));
        let remove = |set: &mut RuleSet| Ok::<_, ()>(set.remove(|rule| rule.id == "user/2").len());
        let (set, removed) = store.edit_rules(Scope::User, remove).unwrap().unwrap();
        assert_eq!((removed, set.rules.len(), set.revision), (1, 1, 3));
        assert_eq!(add("c.example"), (4, "user/3".into()));
    }

    #[test]
    fn scopes_are_apart_and_errors_change_nothing() {
        let (_dir, store) = store();
        let (web, api) = (owner("/src/web"), owner("/src/apis"));
        let edit = |set: &mut RuleSet| Ok::<_, ()>(set.add("web", rule("a.example")).id.clone());
        store.edit_rules(Scope::Owner(&web), edit).unwrap().unwrap();
        assert_eq!(store.rules(Scope::Owner(&web)).unwrap().rules[0].id, "web/1");
        for empty in [Scope::User, Scope::Owner(&api)] {
            assert_eq!(store.rules(empty).unwrap(), RuleSet::default());
        }
        let refuse = |set: &mut RuleSet| {
            set.rules.clear();
            Err::<(), _>("no")
        };
        assert_eq!(store.edit_rules(Scope::Owner(&web), refuse).unwrap().unwrap_err(), "no");
        assert_eq!(store.rules(Scope::Owner(&web)).unwrap().rules.len(), 1);
        let look = |set: &mut RuleSet| Ok::<_, ()>(set.rules.len());
        assert_eq!(store.edit_rules(Scope::Owner(&web), look).unwrap().unwrap().0.revision, 1);
        let gone = SandboxId::from_bytes([1; 6]);
        assert!(matches!(store.edit_rules(Scope::Sandbox(&gone), look), Err(StoreError::Gone(_))));
    }

    #[test]
    fn damaged_rules_are_not_taken_for_none() {
        let (dir, store) = store();
        std::fs::write(dir.path().join("policy/user.json"), "{\"version\":1,\"rules\":[{}]}").unwrap();
        let error = store.rules(Scope::User).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }));
        // Whoever moves it away knows that denials go with it.
        assert!(error.to_string().contains("denials neither"), "{error}");
    }

    #[test]
    fn edits_at_once_all_count() {
        let (_dir, store) = store();
        std::thread::scope(|scope| {
            for index in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    let host = format!("{index}.example");
                    let edit = |set: &mut RuleSet| Ok::<_, ()>(set.add("user", rule(&host)).id.clone());
                    store.edit_rules(Scope::User, edit).unwrap().unwrap();
                });
            }
        });
        let set = store.rules(Scope::User).unwrap();
        assert_eq!((set.rules.len(), set.revision), (8, 8));
    }
}
