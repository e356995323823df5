//! The virtio-fs server: one process, one directory, one guest that may be hostile.
//!
//! Why it is ours: the guest's kernel is not trusted, so a mount flag in the guest protects nothing. What may be read,
//! written, made or seen is decided here, and the process that decides sees nothing but its own directory.
//!
//! ```text
//! guest ── virtqueue ── device (vhost-user, bounds a request) ── protocol (FUSE messages, a library's)
//!                                                                    │ FileSystem
//!                                                                 Folder ── lookup · files · listing · change · meta
//!                                                                    │
//!                        Table (node → parent, name, identity)   Handles (open files)   Guard (pure)   Root (openat2)
//! ```
//!
//! Who owns what: [`Folder`] owns all state of one connection. The table knows names and identities and holds no
//! descriptor; only `Handles` and the root do, so the number of descriptors follows the files that are open, never the
//! files that were seen. Read in the order `root`, `table`, `guard`, `folder`, then the operations.
//!
//! Rules that hold everywhere:
//! * An inode is (parent, name). Each use resolves the path again from the root with `openat2` beneath it, through no
//!   symlink and no mount point, and compares device, inode and type with what the guest was shown; a difference is
//!   `ESTALE`, which makes a Linux guest look again. A path beyond 4,095 bytes from the root is `ENAMETOOLONG`.
//! * Two names of one file are two nodes with the same inode number; a change through one name shows through the
//!   other after at most the attribute time-out.
//! * A directory on another mount is listed, but `EXDEV` to enter: what is mounted below the source was not granted.
//! * Nothing but regular files and directories is ever opened. A host's FIFO or device is shown and cannot be opened.
//! * `EROFS` is a read-only mount, `EPERM` is the guard or a rule of this page, `ENFILE` is a bound of this server.
//!
//! What is absent: no absolute path, no descriptor per inode, no path form of chmod, chown, truncate or utimes, no DAX
//! window, no write-back cache, no lock that other processes of the host see (the guest keeps its own), no set-id bit,
//! device, FIFO or socket made, no extended attribute outside `user.*`.

mod attributes;
mod change;
mod device;
mod files;
mod folder;
mod guard;
mod handles;
mod hidden;
mod listing;
mod lookup;
mod meta;
mod protocol;
mod rig;
mod root;
mod serve;
mod table;
mod xattr;

#[cfg(test)]
mod tests;

pub use device::{Device, TagError};
pub use folder::{Folder, FolderError};
pub use guard::Guard;
#[doc(hidden)]
pub use rig::Rig;
pub use serve::{ServeError, serve};

use std::os::fd::OwnedFd;

/// What one server shows to its guest, and how.
#[derive(Debug)]
pub struct FsConfig {
    /// The directory, opened with `O_PATH` or for reading. Nothing above it is reachable.
    pub root: OwnedFd,
    /// Refuse every change with `EROFS`.
    pub read_only: bool,
    /// Whom the guest sees as owner of every file; the host's owners are not shown.
    pub owner: Owner,
    /// Files and directories that do not exist for the guest under any name: the floor. Give those that can lie inside
    /// `root` (or have more than one link): while there is one, renaming a directory walks what is in it.
    pub hidden: Vec<FileId>,
    /// What the agent may not write although the mount is writable.
    pub guard: Guard,
}

/// User and group ids as the guest sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id in the guest.
    pub uid: u32,
    /// Group id in the guest.
    pub gid: u32,
}

/// The identity of a file on this host, whatever it is called: `st_dev` and `st_ino`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number, as in `stat`.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}
