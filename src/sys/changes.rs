//! Folders whose entries change, told by the kernel.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::readiness;

/// Bytes of events that are taken at once; what they say is not looked at.
const EVENTS: usize = 4096;

/// Some folders that are watched from when this is made.
#[derive(Debug)]
pub struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Watches for entries that appear, disappear or are replaced. Needs a runtime with I/O around it.
    ///
    /// # Errors
    /// When a folder is not there, or the kernel has no watch left.
    pub fn of(folders: &[&Path]) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let entries = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
        let own = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
        for folder in folders {
            inotify::add_watch(&inotify, *folder, entries | own)?;
        }
        Ok(Self(readiness::watch(inotify)?))
    }

    /// Waits for the next change since the last call; several may be one.
    ///
    /// # Errors
    /// When the kernel's queue cannot be read.
    pub async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut events = [0_u8; EVENTS];
            match ready.try_io(|inotify| Ok(rustix::io::read(inotify, &mut events)?)) {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_is_a_change_whenever_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let changes = Changes::of(&[folder.path()]).unwrap();
        std::fs::write(folder.path().join("new"), "x").unwrap();
        std::fs::rename(folder.path().join("new"), folder.path().join("status.json")).unwrap();
        changes.next().await.unwrap();
        drop(folder);
        changes.next().await.unwrap();
        assert!(Changes::of(&[Path::new("/nonexistent")]).is_err());
    }
}
