//! Attributes of files. All changes go through a descriptor of the file itself: the jail denies the path forms.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use fuse_backend_rs::{
    abi::fuse_abi::{stat64, statvfs64},
    api::filesystem::{Context, FileSystem, SetattrValid},
};
use rustix::{
    fs::{FileType, Mode, OFlags, Timespec, Timestamps, fchmod, fstatvfs, ftruncate, futimens},
    fs::{UTIME_NOW, UTIME_OMIT},
    io::Errno,
};

use super::{
    folder::{Folder, allow},
    handles::Handle,
    root::{Found, PATH_ONLY},
    table::Spot,
};

impl Folder {
    /// The attributes of a node; of a file that was removed while it is open, through one of its handles.
    pub(super) fn attributes_of(&self, node: u64, handle: Option<u64>) -> io::Result<(stat64, Duration)> {
        let found = match handle {
            Some(handle) => self.handles.get(handle, node)?.with_fd(|fd| self.root.examine(fd))?,
            None => {
                let _names = self.names_stay();
                match self.spot(node).and_then(|spot| self.root.reopen(&spot, PATH_ONLY)) {
                    Ok((_, found)) => found,
                    Err(e) => self.through_handle(node, e)?.with_fd(|fd| self.root.examine(fd))?,
                }
            }
        };
        Ok((self.attributes(&found), self.timeout()))
    }

    /// Changes attributes, each that `valid` names.
    pub(super) fn change_attributes(
        &self,
        node: u64,
        wish: &stat64,
        handle: Option<u64>,
        valid: SetattrValid,
    ) -> io::Result<(stat64, Duration)> {
        self.writable()?;
        // Every file belongs to the agent; giving it to the agent changes nothing, to another is not possible.
        allow(!valid.contains(SetattrValid::UID) || wish.st_uid == self.owner.uid)?;
        allow(!valid.contains(SetattrValid::GID) || wish.st_gid == self.owner.gid)?;
        let change = Change::parse(wish, valid)?;
        if change.is_empty() {
            return self.attributes_of(node, handle);
        }
        let _names = self.names_stay();
        let found = match (self.spot(node), handle) {
            (Ok(spot), handle) => {
                self.may_write(&spot.path)?;
                match handle.map(|number| self.handles.get(number, node)).transpose()? {
                    Some(open) => open.with_fd(|fd| self.apply(fd, &change))?,
                    None => self.apply_at(&spot, node, &change)?,
                }
            }
            // Its name has gone: what was opened before is all there is.
            (Err(e), _) => self.through_handle(node, e)?.with_fd(|fd| self.apply(fd, &change))?,
        };
        Ok((self.attributes(&found), self.timeout()))
    }

    fn apply_at(&self, spot: &Spot, node: u64, change: &Change) -> io::Result<Found> {
        if spot.kind == FileType::Symlink {
            // A link has no permissions; its times are of no use to anybody and have no descriptor form.
            allow(change.mode.is_none() && change.size.is_none())?;
            return Ok(self.root.reopen(spot, PATH_ONLY)?.1);
        }
        let opened = if change.size.is_some() {
            self.root.reopen_regular(spot, OFlags::WRONLY)
        } else {
            self.open_for_attributes(spot)
        };
        match opened {
            Ok((fd, _)) => self.apply(fd.as_fd(), change),
            Err(e) => self.through_handle(node, e)?.with_fd(|fd| self.apply(fd, change)),
        }
    }

    /// Where a path no longer leads to a node, a handle of it; otherwise the error stands.
    fn through_handle(&self, node: u64, error: io::Error) -> io::Result<Arc<Handle>> {
        let stale = error.raw_os_error() == Some(Errno::STALE.raw_os_error());
        if stale { self.handles.any_of(node).ok_or(error) } else { Err(error) }
    }

    /// A real descriptor of a file or directory: for reading, or where that is not permitted for writing.
    pub(super) fn open_for_attributes(&self, spot: &Spot) -> io::Result<(OwnedFd, Found)> {
        match spot.kind {
            FileType::Directory => self.root.reopen(spot, OFlags::RDONLY | OFlags::DIRECTORY),
            FileType::RegularFile => match self.root.reopen_regular(spot, OFlags::RDONLY) {
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    self.root.reopen_regular(spot, OFlags::WRONLY)
                }
                other => other,
            },
            _ => Err(Errno::PERM.into()),
        }
    }

    fn apply(&self, fd: BorrowedFd<'_>, change: &Change) -> io::Result<Found> {
        if let Some(mode) = change.mode {
            // A directory keeps the host's own set-group-id: it is how teams share folders.
            let before = self.root.examine(fd)?;
            let kept = match before.kind {
                FileType::Directory => Mode::from_bits_truncate(u32::from(before.stat.stx_mode) & 0o7000),
                _ => Mode::empty(),
            };
            fchmod(fd, mode | kept)?;
        }
        if let Some(size) = change.size {
            ftruncate(fd, size)?;
        }
        if let Some(times) = &change.times {
            futimens(fd, times)?;
        }
        self.root.examine(fd)
    }

    /// Sizes of the host's file system, and nothing else of it.
    pub(super) fn sizes(&self) -> io::Result<statvfs64> {
        let host = fstatvfs(self.root.fd())?;
        // The trait's default gives the struct zeroed, which has no safe constructor of its own.
        let mut shown = Blank.statfs(&Context::new(), 0)?;
        shown.f_bsize = host.f_bsize;
        shown.f_frsize = host.f_frsize;
        shown.f_blocks = host.f_blocks;
        shown.f_bfree = host.f_bfree;
        shown.f_bavail = host.f_bavail;
        shown.f_files = host.f_files;
        shown.f_ffree = host.f_ffree;
        shown.f_namemax = 255;
        Ok(shown)
    }
}

struct Blank;

impl FileSystem for Blank {
    type Inode = u64;
    type Handle = u64;
}

/// What is to change.
struct Change {
    mode: Option<Mode>,
    size: Option<u64>,
    times: Option<Timestamps>,
}

impl Change {
    fn parse(wish: &stat64, valid: SetattrValid) -> io::Result<Self> {
        let mode = valid.contains(SetattrValid::MODE).then_some(wish.st_mode);
        allow(mode.is_none_or(|mode| mode & (libc::S_ISUID | libc::S_ISGID) == 0))?;
        let size = valid.contains(SetattrValid::SIZE).then(|| u64::try_from(wish.st_size));
        let accessed =
            time(valid, SetattrValid::ATIME, SetattrValid::ATIME_NOW, wish.st_atime, wish.st_atime_nsec);
        let modified =
            time(valid, SetattrValid::MTIME, SetattrValid::MTIME_NOW, wish.st_mtime, wish.st_mtime_nsec);
        let times = (accessed.is_some() || modified.is_some()).then(|| Timestamps {
            last_access: accessed.unwrap_or(UNCHANGED),
            last_modification: modified.unwrap_or(UNCHANGED),
        });
        Ok(Self {
            mode: mode.map(|mode| Mode::from_bits_truncate(mode & 0o777)),
            size: size.transpose().map_err(|_| Errno::INVAL)?,
            times,
        })
    }

    fn is_empty(&self) -> bool {
        self.mode.is_none() && self.size.is_none() && self.times.is_none()
    }
}

const UNCHANGED: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };

fn time(valid: SetattrValid, set: SetattrValid, now: SetattrValid, sec: i64, nsec: i64) -> Option<Timespec> {
    if valid.contains(now) {
        Some(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW })
    } else if valid.contains(set) {
        // Only a time: the kernel's two marks are beyond this range.
        Some(Timespec { tv_sec: sec, tv_nsec: nsec.clamp(0, 999_999_999) })
    } else {
        None
    }
}
