//! Locks between processes. The kernel gives them back when their holder dies.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::file::StoreError;

/// A lock that this process holds until it drops it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock. Only for sections that end by themselves.
    pub(super) fn wait(path: &Path) -> Result<Self, StoreError> {
        loop {
            let lock = open(path)?;
            loop {
                match flock(&lock, FlockOperation::LockExclusive) {
                    Err(Errno::INTR) => {}
                    other => break other.map_err(|error| StoreError::io("lock", path)(error.into()))?,
                }
            }
            // Its folder may have gone while this waited.
            if is_at(&lock, path) {
                return Ok(Self { _file: lock, path: path.to_owned() });
            }
        }
    }

    /// Takes the lock, or says that another process holds it.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, StoreError> {
        let lock = open(path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&lock, path) => Ok(Some(Self { _file: lock, path: path.to_owned() })),
            Ok(()) | Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StoreError::io("lock", path)(error.into())),
        }
    }

    /// The locked file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(path).map_err(StoreError::io("lock", path))
}

fn is_at(lock: &File, path: &Path) -> bool {
    match (lock.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::wait(&path).unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::take(&path).unwrap().is_some());
    }

    #[test]
    fn who_waited_for_a_folder_that_went_away_does_not_get_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("it");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("lock");
        let held = Lock::wait(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::wait(&path).map(drop)
        });
        std::fs::rename(&folder, dir.path().join("gone")).unwrap();
        drop(held);
        assert!(waiting.join().unwrap().is_err());
    }
}
