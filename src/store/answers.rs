//! What a person answered when a sandbox was first run in a repository, so that nobody is asked twice. A file per
//! owner, in this user's own state: no repository can write an answer.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    file::{self, StoreError, Versioned},
    lock::Lock,
    owner::Owner,
    state::Store,
};

/// The answers for one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Answers {
    /// Whether sandboxes here may fetch from a registry, by its name.
    pub registries: BTreeMap<String, bool>,
    /// Whether a key in the environment is used, by its service's name.
    pub keys: BTreeMap<String, bool>,
}

impl Versioned for Answers {
    const VERSION: u16 = 1;
    const MAX: u64 = 1 << 20;
}

impl Store {
    /// What was answered for an owner; nothing yet is no answer.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn answers(&self, owner: &Owner) -> Result<Answers, StoreError> {
        Ok(file::read(&self.answers_path(owner))?.unwrap_or_default())
    }

    /// Adds answers for an owner; a newer one takes the place of an older.
    ///
    /// # Errors
    /// When the state directory refuses.
    pub fn remember(&self, owner: &Owner, new: Answers) -> Result<(), StoreError> {
        let _lock = Lock::wait(&self.policy().join("lock"))?;
        let mut all = self.answers(owner)?;
        all.registries.extend(new.registries);
        all.keys.extend(new.keys);
        file::write(&self.answers_path(owner), &all)
    }

    fn answers_path(&self, owner: &Owner) -> PathBuf {
        self.of_owner("answers", owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sandbox::tests::owner;

    #[test]
    fn answers_are_kept_apart_by_repository() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (web, api) = (owner("/src/web"), owner("/src/api"));
        let answers =
            |name: &str, yes| Answers { registries: [(name.to_owned(), yes)].into(), ..Answers::default() };
        store.remember(&web, answers("npm", true)).unwrap();
        store.remember(&web, answers("go", false)).unwrap();
        assert_eq!(
            store.answers(&web).unwrap().registries,
            [("go".to_owned(), false), ("npm".to_owned(), true)].into()
        );
        assert_eq!(store.answers(&api).unwrap(), Answers::default());
        store.remember(&web, answers("npm", false)).unwrap();
        assert!(!store.answers(&web).unwrap().registries["npm"]);
    }
}
