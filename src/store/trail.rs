//! Audit trails that outlive what they tell of.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::{
    file::{self, StoreError},
    state::Store,
};
use crate::model::name::{Name, SandboxId};

impl Store {
    /// Keeps a trail that lies elsewhere, as of a machine of another state directory, with those of removed sandboxes. It
    /// appears whole or not at all, and is gone from where it was.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn adopt_trail(&self, from: &Path, name: &Name, id: &SandboxId) -> Result<(), StoreError> {
        if !from.is_dir() {
            return Ok(());
        }
        let removed = self.removed_trails();
        file::make_folder(&removed)?;
        let (beside, kept) = (removed.join(format!(".{name}-{id}")), removed.join(format!("{name}-{id}")));
        let adopt = || {
            match fs::rename(from, &kept) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
                other => return other,
            }
            fs::create_dir(&beside)?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    let copy = beside.join(entry.file_name());
                    fs::copy(entry.path(), &copy)?;
                    File::open(copy)?.sync_all()?;
                }
            }
            fs::rename(&beside, &kept)?;
            fs::remove_dir_all(from)
        };
        adopt().map_err(StoreError::io("move", from))?;
        file::sync_folder(&removed).map_err(StoreError::io("sync", &removed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_kept_under_its_name_and_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state")).unwrap();
        let (name, id) = ("dev-template".parse().unwrap(), SandboxId::from_bytes([7; 6]));
        let from = folder.path().join("audit");
        store.adopt_trail(&from, &name, &id).unwrap();
        fs::create_dir(&from).unwrap();
        fs::write(from.join("1.jsonl"), "{}\n").unwrap();
        store.adopt_trail(&from, &name, &id).unwrap();
        let kept = store.removed_trails().join("dev-template-070707070707/1.jsonl");
        assert_eq!((fs::read_to_string(kept).unwrap().as_str(), from.exists()), ("{}\n", false));
    }
}
