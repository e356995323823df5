//! All state of one connection, and the questions that every operation asks first.

use std::{
    ffi::CStr,
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use fuse_backend_rs::{abi::fuse_abi::stat64, api::filesystem::Entry};
use rustix::{
    fs::OFlags,
    io::Errno,
    process::{Resource, getrlimit},
};

use super::{
    FsConfig, Owner,
    attributes::attributes,
    guard::{GitPieces, Guard, Judgement, Verdict, is_named_git},
    handles::Handles,
    hidden::Hidden,
    root::{Found, PATH_ONLY, Root, vanished},
    table::{Name, Spot, Table, text},
};

/// How long the guest may believe what it saw. The host's user edits the same files, so it is short; the guest's own
/// changes are never late.
const WRITABLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Read-only mounts are data and references: fewer questions are worth more than the last seconds.
const READ_ONLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of what the guest can make this process hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Nodes that the guest remembers: about 200 bytes each.
    pub nodes: usize,
    /// Open files and directories.
    pub handles: usize,
}

impl Limits {
    /// As many open files as the process may hold, less what one operation, the rings and the log need.
    fn of_this_process() -> Self {
        const RESERVE: usize = 128;
        const HANDLES: usize = 4096;
        let most =
            getrlimit(Resource::Nofile).current.and_then(|n| usize::try_from(n).ok()).unwrap_or(HANDLES);
        Self { nodes: 1_000_000, handles: most.saturating_sub(RESERVE).clamp(16, HANDLES) }
    }
}

/// One shared directory as one guest sees it.
#[derive(Debug)]
pub struct Folder {
    pub(super) root: Root,
    pub(super) handles: Handles,
    pub(super) owner: Owner,
    read_only: bool,
    guard: Guard,
    timeout: Duration,
    table: Mutex<Table>,
    /// Held for writing while names change, so that a rule that is checked still holds when the change is made.
    names: RwLock<()>,
}

/// Why a directory cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is something else, or the kernel is too old.
    #[error(
        "the shared directory cannot be used: it must be a directory, on Linux 5.8 or later; check the mount's source"
    )]
    Root(#[source] io::Error),
}

/// An open directory in which something is about to be done.
#[derive(Debug)]
pub(super) struct Place {
    pub fd: OwnedFd,
    pub path: Vec<Name>,
}

impl Place {
    /// The path of one of its entries.
    pub fn path_of(&self, name: &CStr) -> Vec<Name> {
        let mut path = self.path.clone();
        path.push(Name::from(name.to_bytes()));
        path
    }
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    File,
    Directory,
    Symlink,
}

impl Folder {
    /// Takes a directory over.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn new(config: FsConfig) -> Result<Self, FolderError> {
        Self::with_limits(config, Limits::of_this_process())
    }

    pub(super) fn with_limits(config: FsConfig, limits: Limits) -> Result<Self, FolderError> {
        let root = Root::new(config.root, Hidden::new(config.hidden)).map_err(FolderError::Root)?;
        Ok(Self {
            handles: Handles::new(limits.handles),
            owner: config.owner,
            read_only: config.read_only,
            guard: config.guard,
            timeout: if config.read_only { READ_ONLY_TIMEOUT } else { WRITABLE_TIMEOUT },
            table: Mutex::new(Table::new(root.id(), limits.nodes)),
            names: RwLock::new(()),
            root,
        })
    }

    /// Forgets what the guest knew and closes what it had open: it mounted anew, or said good-bye.
    pub(super) fn reset(&self) {
        self.handles.clear();
        self.table().clear();
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names_stay(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names_change(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long attributes and names may be cached.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// # Errors
    /// `EROFS` on a read-only mount.
    pub(super) fn writable(&self) -> io::Result<()> {
        if self.read_only { Err(Errno::ROFS.into()) } else { Ok(()) }
    }

    pub(super) fn spot(&self, node: u64) -> io::Result<Spot> {
        self.table().spot(node)
    }

    /// Opens the directory of a node to work in.
    pub(super) fn place(&self, node: u64) -> io::Result<Place> {
        let spot = self.spot(node)?.directory()?;
        let (fd, _) = self.root.reopen(&spot, PATH_ONLY | OFlags::DIRECTORY)?;
        Ok(Place { fd, path: spot.path })
    }

    pub(super) fn attributes(&self, found: &Found) -> stat64 {
        attributes(found, self.owner, self.root.id())
    }

    /// Tells the guest of an entry: counts a look-up.
    pub(super) fn enter(&self, parent: u64, name: &CStr, found: &Found) -> io::Result<Entry> {
        let node = self.table().enter(parent, name.to_bytes(), found.id, found.kind)?;
        Ok(Entry {
            inode: node,
            attr: self.attributes(found),
            attr_timeout: self.timeout,
            entry_timeout: self.timeout,
            ..Entry::default()
        })
    }

    pub(super) fn judge(&self, path: &[Name], thorough: bool) -> Judgement {
        self.guard.judge(path, thorough, &mut |len| self.looks_like_git(&path[..len]))
    }

    /// # Errors
    /// `EPERM` where the guard allows reading only.
    pub(super) fn may_write(&self, path: &[Name]) -> io::Result<()> {
        allow(self.judge(path, false).verdict != Verdict::Protected)
    }

    /// # Errors
    /// `EPERM` where the guard forbids that this name is removed, moved or replaced.
    pub(super) fn may_move(&self, path: &[Name]) -> io::Result<()> {
        allow(self.judge(path, false).verdict == Verdict::Free)
    }

    /// # Errors
    /// `EPERM` where the guard or something hidden is in the way of making an entry.
    pub(super) fn may_make(&self, place: &Place, name: &CStr, made: Made) -> io::Result<()> {
        let path = place.path_of(name);
        // git appends to files of its own by name; a link there would send that anywhere on the host.
        let judged = self.judge(&path, made == Made::Symlink);
        allow(match judged.verdict {
            Verdict::Free => made != Made::Symlink || !judged.in_git,
            Verdict::Pinned => made == Made::Directory,
            Verdict::Protected => false,
        })?;
        self.may_complete(place, name)?;
        self.root.occupant(&place.fd, name)?;
        Ok(())
    }

    /// # Errors
    /// `EPERM` when the new name would make its directory a repository.
    pub(super) fn may_complete(&self, place: &Place, name: &CStr) -> io::Result<()> {
        if !self.guard.watches_git() || is_named_git(&place.path) {
            return Ok(());
        }
        if GitPieces::default().with(name.to_bytes()).is_none() {
            return Ok(());
        }
        let before = self.git_pieces(&place.fd);
        let after = before.with(name.to_bytes()).unwrap_or(before);
        allow(before.is_repository() || !after.is_repository())
    }

    fn git_pieces(&self, dir: &OwnedFd) -> GitPieces {
        // What cannot be looked at counts as present.
        let has = |name: &CStr| !matches!(self.root.stat(dir, name), Err(Errno::NOENT));
        GitPieces {
            head: has(c"HEAD"),
            objects: has(c"objects"),
            refs: has(c"refs"),
            config: has(c"config"),
            hooks: has(c"hooks"),
            commondir: has(c"commondir"),
        }
    }

    fn looks_like_git(&self, path: &[Name]) -> bool {
        match self.root.open(&text(path), PATH_ONLY | OFlags::DIRECTORY) {
            Ok(dir) => self.git_pieces(&dir).looks_like_one(),
            Err(e) => vanished(e) != Errno::STALE,
        }
    }
}

/// # Errors
/// `EPERM` when not.
pub(super) fn allow(yes: bool) -> io::Result<()> {
    if yes { Ok(()) } else { Err(Errno::PERM.into()) }
}

/// A name that the guest sent for one entry.
///
/// # Errors
/// `EINVAL` for an empty name, `.`, `..` or one with a slash; `ENAMETOOLONG` beyond 255 bytes.
pub(super) fn entry_name(name: &CStr) -> io::Result<&CStr> {
    match name.to_bytes() {
        b"" | b"." | b".." => Err(Errno::INVAL.into()),
        bytes if bytes.contains(&b'/') => Err(Errno::INVAL.into()),
        bytes if bytes.len() > 255 => Err(Errno::NAMETOOLONG.into()),
        _ => Ok(name),
    }
}
