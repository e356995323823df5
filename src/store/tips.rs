//! The newest commits of trusted refs that were seen, so that nobody can go back to an older one. A file per owner.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    file::{self, StoreError, Versioned},
    lock::Lock,
    owner::Owner,
    rules::key,
    state::Store,
};

/// By what the operator trusts, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tips {
    tips: BTreeMap<String, String>,
}

impl Versioned for Tips {
    const VERSION: u16 = 1;
    const MAX: u64 = 1 << 20;
}

impl Store {
    /// The newest commit that was seen of what the operator trusts as `entry`.
    ///
    /// # Errors
    /// When the file is damaged: then nobody can tell what is older.
    pub fn tip(&self, owner: &Owner, entry: &str) -> Result<Option<String>, StoreError> {
        Ok(file::read::<Tips>(&self.tips_path(owner))?.and_then(|known| known.tips.get(entry).cloned()))
    }

    /// Remembers a commit that comes after `before`. Where another process was faster, what it remembered stays.
    ///
    /// # Errors
    /// When the state directory refuses.
    pub fn remember_tip(
        &self,
        owner: &Owner,
        entry: &str,
        before: Option<&str>,
        commit: &str,
    ) -> Result<(), StoreError> {
        let _lock = Lock::wait(&self.policy().join("lock"))?;
        let path = self.tips_path(owner);
        let mut known: Tips = file::read(&path)?.unwrap_or_default();
        if known.tips.get(entry).map(String::as_str) == before {
            known.tips.insert(entry.to_owned(), commit.to_owned());
            file::write(&path, &known)?;
        }
        Ok(())
    }

    fn tips_path(&self, owner: &Owner) -> PathBuf {
        self.policy().join(format!("tips-{}.json", key(owner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sandbox::tests::owner;

    #[test]
    fn the_newest_is_remembered_and_a_slower_process_takes_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (web, api) = (owner("/src/web"), owner("/src/api"));
        let tip = |owner: &Owner| store.tip(owner, "main").unwrap();
        store.remember_tip(&web, "main", None, "1").unwrap();
        store.remember_tip(&web, "main", Some("1"), "2").unwrap();
        store.remember_tip(&web, "main", Some("1"), "0").unwrap();
        assert_eq!((tip(&web).as_deref(), tip(&api)), (Some("2"), None));
        assert_eq!(store.tip(&web, "other").unwrap(), None);
    }
}
