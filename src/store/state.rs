//! The directory itself: its format, its folders, the paths in it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::model::{name::SandboxId, status::SandboxStatus};

use super::{
    file::{self, StoreError, Versioned},
    lock::Lock,
};

/// Format of the directory. Within one format, files carry versions of their own.
pub const FORMAT: u16 = 1;

/// What may lie there before the format is written: an opening that was killed left it.
const BEGUN: [&str; 2] = ["lock", ".version.new"];

/// One user's state directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the state directory at `root`, making it when it is new.
    ///
    /// # Errors
    /// When it is somebody else's, holds something else, or has a newer format.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        file::make_folder(root)?;
        keep_to_owner(root)?;
        let store = Self { root: root.to_owned() };
        if !store.is_current()? {
            // Two first openings at once: one writes, the other finds it written.
            let _lock = store.lock()?;
            if !store.is_current()? {
                store.begin()?;
            }
        }
        for folder in [store.sandboxes(), store.policy()] {
            file::make_folder(&folder)?;
        }
        Ok(store)
    }

    /// The state directory at `root`, neither made nor looked at: for a command that remembers nothing.
    #[must_use]
    pub fn unopened(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Folder of the host's own audit trail.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Folder of the trails of sandboxes that were removed, a folder each.
    #[must_use]
    pub fn removed_trails(&self) -> PathBuf {
        self.root.join("removed")
    }

    /// Waits for this command's turn to write that trail.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn audit_turn(&self) -> Result<Lock, StoreError> {
        Lock::wait(&self.root.join("audit.lock"))
    }

    /// The folder of one sandbox, whether it is there or not.
    #[must_use]
    pub fn sandbox(&self, id: &SandboxId) -> SandboxDir {
        SandboxDir { path: self.sandboxes().join(id.as_str()), id: id.clone() }
    }

    pub(super) fn sandboxes(&self) -> PathBuf {
        self.root.join("sandboxes")
    }

    /// Folder of what people answered and added: it changes when they do.
    #[must_use]
    pub fn policy_folder(&self) -> PathBuf {
        self.policy()
    }

    pub(super) fn policy(&self) -> PathBuf {
        self.root.join("policy")
    }

    /// The lock under which sandboxes come and go.
    pub(super) fn lock(&self) -> Result<Lock, StoreError> {
        Lock::wait(&self.root.join("lock"))
    }

    fn is_current(&self) -> Result<bool, StoreError> {
        let path = self.root.join("version");
        let Some(bytes) = file::read_bounded(&path, 32)? else { return Ok(false) };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim_end().parse::<u64>() {
            Ok(found) if found == u64::from(FORMAT) => Ok(true),
            Ok(found) if found > u64::from(FORMAT) => Err(StoreError::Newer { path, found, known: FORMAT }),
            // There was no format before the first.
            _ => Err(StoreError::damaged(&path, "it does not hold the number of a format")
                .mended_by("write 1 into it if no later release ever used this directory")),
        }
    }

    fn begin(&self) -> Result<(), StoreError> {
        let entries = fs::read_dir(&self.root).map_err(StoreError::io("read", &self.root))?;
        for entry in entries {
            let name = entry.map_err(StoreError::io("read", &self.root))?.file_name();
            if !BEGUN.iter().any(|begun| name == *begun) {
                return Err(StoreError::Foreign(self.root.clone()));
            }
        }
        file::replace(&self.root.join("version"), format!("{FORMAT}\n").as_bytes())
    }
}

/// Refuses a folder of somebody else and takes everyone else's rights from one of ours.
pub(super) fn keep_to_owner(path: &Path) -> Result<(), StoreError> {
    let meta = fs::metadata(path).map_err(StoreError::io("read", path))?;
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user {
        return Err(StoreError::NotOurs { path: path.to_owned(), owner: meta.uid(), user });
    }
    if meta.mode() & 0o077 != 0 {
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, mode).map_err(StoreError::io("protect", path))?;
    }
    Ok(())
}

/// The folder of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxDir {
    pub(super) path: PathBuf,
    pub(super) id: SandboxId,
}

impl SandboxDir {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk that a *replace* renews.
    #[must_use]
    pub fn system_disk(&self) -> PathBuf {
        self.path.join("system.img")
    }

    /// The disk with home, caches and history.
    #[must_use]
    pub fn data_disk(&self) -> PathBuf {
        self.path.join("data.img")
    }

    /// What the guest's kernel and PID 1 said.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// What the set-up of its last start wrote.
    #[must_use]
    pub fn setup_log(&self) -> PathBuf {
        self.path.join("setup.log")
    }

    /// Folder of its audit trail.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }

    /// Table of its synthetic addresses.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.path.join("names.jsonl")
    }

    pub(super) fn record(&self) -> PathBuf {
        self.path.join("record.json")
    }

    pub(super) fn policy(&self) -> PathBuf {
        self.path.join("policy.json")
    }

    pub(super) fn sockets(&self) -> PathBuf {
        self.path.join("sockets")
    }

    /// Takes the lock that a keeper holds while it lives; `None` when there is one.
    ///
    /// # Errors
    /// When the sandbox is gone.
    pub fn lock_life(&self) -> Result<Option<Lock>, StoreError> {
        self.there()?;
        Lock::take(&self.path.join("life.lock"))
    }

    /// Waits until no keeper of it lives.
    ///
    /// # Errors
    /// When the sandbox is gone.
    pub fn await_end(&self) -> Result<(), StoreError> {
        self.there()?;
        Lock::wait(&self.path.join("life.lock")).map(drop)
    }

    /// Waits for the lock under which this sandbox's files are changed.
    pub(super) fn lock_edit(&self) -> Result<Lock, StoreError> {
        self.there()?;
        Lock::wait(&self.path.join("edit.lock"))
    }

    /// Notes what the keeper sees. Only the holder of the life lock writes it, so `_life` is asked for.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_status(&self, status: &SandboxStatus, _life: &Lock) -> Result<(), StoreError> {
        file::write(&self.path.join("status.json"), status)
    }

    /// What a keeper saw last; it may have been killed since.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read_status(&self) -> Result<Option<SandboxStatus>, StoreError> {
        file::read(&self.path.join("status.json"))
    }

    pub(super) fn there(&self) -> Result<(), StoreError> {
        if self.path.is_dir() { Ok(()) } else { Err(StoreError::Gone(self.id.clone())) }
    }
}

impl Versioned for SandboxStatus {
    const VERSION: u16 = 1;
    const MAX: u64 = 1 << 20;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_gets_its_format_and_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/state");
        Store::open(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join("version")).unwrap(), "1\n");
        for path in [&root, &root.join("sandboxes"), &root.join("policy")] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        Store::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn another_format_or_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let message = |name: &str, content: &str| {
            let root = tempfile::tempdir_in(&dir).unwrap();
            fs::write(root.path().join(name), content).unwrap();
            Store::open(root.path()).map(drop).map_err(|error| error.to_string())
        };
        assert!(message("version", "2\n").unwrap_err().contains("has format 2, this release knows 1"));
        let damaged = message("version", "x").unwrap_err();
        assert!(
            damaged.ends_with("is damaged; write 1 into it if no later release ever used this directory")
        );
        // What it says helps.
        let root = dir.path().join("mended");
        Store::open(&root).unwrap();
        fs::write(root.join("version"), "").unwrap();
        Store::open(&root).unwrap_err();
        fs::write(root.join("version"), "1").unwrap();
        Store::open(&root).unwrap();
        assert!(message("thesis.tex", "").unwrap_err().contains("is not empty and not a state directory"));
        // What an opening that was killed leaves is no obstacle.
        assert_eq!(message(".version.new", ""), Ok(()));
        assert_eq!(message("lock", ""), Ok(()));
    }

    #[test]
    fn a_status_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let sandbox = store.sandbox(&SandboxId::from_bytes([1; 6]));
        assert!(matches!(sandbox.lock_life(), Err(StoreError::Gone(_))));
        fs::create_dir(sandbox.path()).unwrap();
        let life = sandbox.lock_life().unwrap().unwrap();
        assert_eq!(sandbox.read_status().unwrap(), None);
        let running = SandboxStatus::new("dev", "010101010101", crate::model::status::Phase::Running);
        let status = SandboxStatus { boot_ms: Some(5), ..running };
        sandbox.write_status(&status, &life).unwrap();
        assert_eq!(sandbox.read_status().unwrap(), Some(status));
        assert!(sandbox.lock_life().unwrap().is_none());
    }
}
