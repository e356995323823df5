//! The one directory, and the only way into it.
//!
//! Every open of this server goes through [`Root::open`] or [`Root::open_in`]; every look at an entry through
//! [`Root::stat`]. Both are relative to a descriptor, beneath it, and follow nothing.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat2, statx},
    io::Errno,
};

use super::{FileId, hidden::Hidden, table::Spot};

/// Beneath the root, through no link and no mount point. The guest resolves its symlinks itself, so one met here was
/// put in the way of a path that was resolved before.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The shared directory.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    id: FileId,
    mount: u64,
    hidden: Hidden,
}

/// A file as it is on the host right now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub id: FileId,
    pub kind: FileType,
    pub mount: u64,
    pub stat: Statx,
}

impl Root {
    /// Takes the directory over.
    ///
    /// # Errors
    /// `ENOTDIR`, or `ENOSYS` where the kernel lacks `openat2` (5.6) or mount ids in `statx` (5.8).
    pub fn new(fd: OwnedFd, hidden: Hidden) -> io::Result<Self> {
        let found = inspect(fd.as_fd())?;
        if found.kind != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        if found.stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
            return Err(Errno::NOSYS.into());
        }
        openat2(&fd, c".", PATH_ONLY | OFlags::DIRECTORY, Mode::empty(), RESOLVE)?;
        Ok(Self { fd, id: found.id, mount: found.mount, hidden })
    }

    pub fn id(&self) -> FileId {
        self.id
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// Opens a path of plain names below the root; `"."` is the root.
    pub fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        openat2(&self.fd, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
    }

    /// Opens or makes one entry of a directory that [`Root::open`] gave.
    pub fn open_in(&self, dir: impl AsFd, name: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        openat2(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode, RESOLVE)
    }

    /// Opens what `spot` names and makes sure that it is still what the guest was shown.
    ///
    /// # Errors
    /// `ESTALE` when the host has put something else there, or nothing, or a link in the way.
    pub fn reopen(&self, spot: &Spot, flags: OFlags) -> io::Result<(OwnedFd, Found)> {
        let fd = self.open(&spot.text(), flags).map_err(vanished)?;
        let found = self.examine(&fd)?;
        if found.id != spot.id || found.kind != spot.kind {
            return Err(Errno::STALE.into());
        }
        Ok((fd, found))
    }

    /// Opens a regular file. It is looked at through a path descriptor first, because opening a FIFO or a device has
    /// effects of its own; `NONBLOCK` covers the moment between the two.
    pub fn reopen_regular(&self, spot: &Spot, flags: OFlags) -> io::Result<(OwnedFd, Found)> {
        match spot.kind {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR.into()),
            FileType::Symlink => return Err(Errno::LOOP.into()),
            _ => return Err(Errno::NXIO.into()),
        }
        self.reopen(spot, PATH_ONLY)?;
        self.reopen(spot, flags | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// What an open descriptor refers to.
    ///
    /// # Errors
    /// `ENOENT` for what is hidden.
    pub fn examine(&self, fd: impl AsFd) -> io::Result<Found> {
        let found = inspect(fd.as_fd())?;
        if self.hidden.contains(found.id) { Err(Errno::NOENT.into()) } else { Ok(found) }
    }

    /// What an entry is, links not followed, hidden or not.
    pub fn stat(&self, dir: impl AsFd, name: &CStr) -> Result<Found, Errno> {
        statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, WANTED).map(Found::from)
    }

    /// What an entry is for the guest.
    ///
    /// # Errors
    /// `ENOENT` for what is absent or hidden, `EXDEV` for a mount point.
    pub fn look(&self, dir: impl AsFd, name: &CStr) -> io::Result<Found> {
        let found = self.stat(dir, name)?;
        if self.hidden.contains(found.id) {
            return Err(Errno::NOENT.into());
        }
        if found.mount != self.mount {
            return Err(Errno::XDEV.into());
        }
        Ok(found)
    }

    /// What is at a name that the guest wants to make or replace.
    ///
    /// # Errors
    /// `EPERM` when something hidden has that name.
    pub fn occupant(&self, dir: impl AsFd, name: &CStr) -> io::Result<Option<Found>> {
        match self.stat(dir, name) {
            Ok(found) if self.hidden.contains(found.id) => Err(Errno::PERM.into()),
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// True for an entry that lies on another mount.
    pub fn is_foreign(&self, found: &Found) -> bool {
        found.mount != self.mount
    }
}

/// A descriptor that names a file and opens nothing.
pub(super) const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

fn inspect(fd: BorrowedFd<'_>) -> io::Result<Found> {
    Ok(statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, WANTED).map(Found::from)?)
}

/// A path that the guest knew and that no longer leads anywhere is stale, not absent: the guest then asks anew.
pub(super) fn vanished(error: Errno) -> Errno {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Errno::STALE,
        other => other,
    }
}

impl From<Statx> for Found {
    fn from(stat: Statx) -> Self {
        Self {
            id: FileId {
                dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
                ino: stat.stx_ino,
            },
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            mount: stat.stx_mnt_id,
            stat,
        }
    }
}
