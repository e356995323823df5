//! Renewing the system disk: a new one in its place together with the note of the template below it, both or neither. The
//! data disk is not touched.
//!
//! ```text
//! next disk made ─▶ next note written ─▶ disk renamed (this decides) ─▶ note renamed
//! ```
//!
//! Killed anywhere, [`SandboxDir::settle_renewal`] tells from what is left what was decided: a next note without a next
//! disk is a decision that has to be finished, everything else is thrown away.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    file::{self, Gate, Step, StoreError, open_gate},
    lock::Lock,
    stack,
    state::SandboxDir,
};
use crate::model::template::Stack;

impl SandboxDir {
    /// Where the next system disk is made.
    #[must_use]
    pub fn next_disk(&self) -> PathBuf {
        self.path().join("system.next.img")
    }

    fn next_note(&self) -> PathBuf {
        self.path().join("template.next.json")
    }

    /// Finishes or forgets a renewal that was killed. To be called before the disk or its note is used; the life lock
    /// shows that no machine uses them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn settle_renewal(&self, _life: &Lock) -> Result<(), StoreError> {
        let (disk, note) = (self.next_disk(), self.next_note());
        if note.exists() && !disk.exists() {
            return self.rename(&note, &self.path().join(stack::NAME), &mut open_gate);
        }
        // The note first: alone it would look like a decision.
        remove(&note)?;
        remove(&disk)
    }

    /// Puts the disk at [`SandboxDir::next_disk`] in the place of the system disk, on this template.
    ///
    /// # Errors
    /// When the disk refuses; what was decided by then is finished by the next [`SandboxDir::settle_renewal`].
    pub fn commit_renewal(&self, stack: &Stack, _life: &Lock) -> Result<(), StoreError> {
        self.commit_with(stack, &mut open_gate)
    }

    fn commit_with(&self, stack: &Stack, gate: &mut Gate<'_>) -> Result<(), StoreError> {
        file::replace_with(&self.next_note(), &stack::encode(stack), gate)?;
        self.rename(&self.next_disk(), &self.system_disk(), gate)?;
        self.rename(&self.next_note(), &self.path().join(stack::NAME), gate)
    }

    fn rename(&self, from: &Path, to: &Path, gate: &mut Gate<'_>) -> Result<(), StoreError> {
        let renamed = (|| {
            fs::rename(from, to)?;
            gate(Step::Rename)?;
            file::sync_folder(self.path())?;
            gate(Step::SyncFolder)
        })();
        renamed.map_err(StoreError::io("move", from))
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{name::SandboxId, template::ImageId},
        store::Store,
    };

    fn stack(key: &str) -> Stack {
        Stack { image: ImageId::Base(key.repeat(64)), layers: Vec::new() }
    }

    /// A sandbox on its old disk, with a new one made beside.
    fn begun() -> (tempfile::TempDir, SandboxDir) {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Store::open(folder.path()).unwrap().sandbox(&SandboxId::from_bytes([3; 6]));
        fs::create_dir(sandbox.path()).unwrap();
        fs::write(sandbox.system_disk(), "old").unwrap();
        sandbox.write_stack(&stack("a")).unwrap();
        fs::write(sandbox.next_disk(), "new").unwrap();
        (folder, sandbox)
    }

    fn stands(sandbox: &SandboxDir) -> (String, Option<Stack>) {
        (fs::read_to_string(sandbox.system_disk()).unwrap(), sandbox.stack().unwrap())
    }

    #[test]
    fn killed_anywhere_the_disk_and_its_template_are_the_old_ones_or_the_new_ones() {
        let (old, new) = (("old".to_owned(), Some(stack("a"))), ("new".to_owned(), Some(stack("b"))));
        let mut seen = Vec::new();
        for stop_after in 0.. {
            let (_folder, sandbox) = begun();
            let mut left = stop_after;
            let mut gate = |_| {
                left -= 1;
                if left < 0 { Err(io::Error::other("killed")) } else { Ok(()) }
            };
            let done = sandbox.commit_with(&stack("b"), &mut gate).is_ok();
            let life = sandbox.lock_life().unwrap().unwrap();
            // Twice: the settling may be killed, too.
            sandbox.settle_renewal(&life).unwrap();
            sandbox.settle_renewal(&life).unwrap();
            let stands = stands(&sandbox);
            assert!(stands == old || stands == new, "after {stop_after} effects: {stands:?}");
            assert!(!sandbox.next_disk().exists() && !sandbox.next_note().exists());
            seen.push(stands == new);
            if done {
                break;
            }
        }
        assert!(seen.contains(&false) && seen.last() == Some(&true) && seen.is_sorted(), "{seen:?}");
    }

    #[test]
    fn a_disk_that_was_only_made_is_thrown_away_and_without_a_renewal_nothing_happens() {
        let (_folder, sandbox) = begun();
        let life = sandbox.lock_life().unwrap().unwrap();
        sandbox.settle_renewal(&life).unwrap();
        sandbox.settle_renewal(&life).unwrap();
        assert_eq!(stands(&sandbox), ("old".to_owned(), Some(stack("a"))));
        assert!(!sandbox.next_disk().exists());
    }
}
