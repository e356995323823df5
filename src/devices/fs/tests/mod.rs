//! The server from the guest's side: what a request does to a real folder. Each rule is also played with the rule
//! switched off, where the same request must succeed; otherwise its test proves nothing.

mod escape;
mod files;
mod floor;
mod guarded;
mod read_only;
mod scale;
mod wire;

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::fd::OwnedFd,
    os::unix::fs::MetadataExt,
    path::Path,
};

use fuse_backend_rs::{
    abi::fuse_abi::CreateIn,
    api::filesystem::{Context, Entry, FileSystem},
};
use rustix::io::Errno;
use tempfile::TempDir;

use super::{
    FileId, FsConfig, Guard, Owner,
    folder::{Folder, Limits},
    table::ROOT,
};

/// A folder on disk and a guest that has it mounted.
struct Guest {
    dir: TempDir,
    folder: Folder,
}

/// How the folder is shared.
struct Share {
    read_only: bool,
    hidden: Vec<FileId>,
    guard: Guard,
    limits: Limits,
}

impl Default for Share {
    fn default() -> Self {
        let limits = Limits { nodes: 100_000, handles: 64 };
        Self { read_only: false, hidden: Vec::new(), guard: Guard::off(), limits }
    }
}

impl Guest {
    fn new(prepare: impl FnOnce(&Path), share: impl FnOnce(&Path) -> Share) -> Self {
        let dir = TempDir::new().unwrap();
        prepare(dir.path());
        let share = share(dir.path());
        let config = config(dir.path(), share.read_only, share.hidden, share.guard);
        let folder = Folder::with_limits(config, share.limits).unwrap();
        Self { dir, folder }
    }

    fn plain(prepare: impl FnOnce(&Path)) -> Self {
        Self::new(prepare, |_| Share::default())
    }

    fn host(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }

    /// Looks a path up as a guest's kernel does, name by name; "" is the root.
    fn walk(&self, path: &str) -> io::Result<u64> {
        let mut node = ROOT;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            node = self.look(node, name)?.inode;
        }
        Ok(node)
    }

    fn look(&self, parent: u64, name: &str) -> io::Result<Entry> {
        self.folder.lookup(&ctx(), parent, &c(name))
    }

    /// The directory of a path and its last name.
    fn split(&self, path: &str) -> io::Result<(u64, CString)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(dir)?, c(name)))
    }

    fn create(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path)?;
        let (entry, handle, ..) =
            self.folder.create(&ctx(), parent, &name, create_in(libc::O_RDWR, 0o644))?;
        self.close(entry.inode, handle.unwrap())
    }

    fn mkdir(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path)?;
        self.folder.mkdir(&ctx(), parent, &name, 0o755, 0).map(drop)
    }

    fn symlink(&self, text: &str, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path)?;
        self.folder.symlink(&ctx(), &c(text), parent, &name).map(drop)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let node = self.walk(from)?;
        let (parent, name) = self.split(to)?;
        self.folder.link(&ctx(), node, parent, &name).map(drop)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename_with(from, to, 0)
    }

    fn rename_with(&self, from: &str, to: &str, flags: u32) -> io::Result<()> {
        let (old, old_name) = self.split(from)?;
        let (new, new_name) = self.split(to)?;
        self.folder.rename(&ctx(), old, &old_name, new, &new_name, flags)
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path)?;
        self.folder.unlink(&ctx(), parent, &name)
    }

    fn rmdir(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path)?;
        self.folder.rmdir(&ctx(), parent, &name)
    }

    fn open(&self, path: &str, flags: i32) -> io::Result<(u64, u64)> {
        let node = self.walk(path)?;
        let (handle, ..) = self.folder.open(&ctx(), node, flags.cast_unsigned(), 0)?;
        Ok((node, handle.unwrap()))
    }

    /// Opens for writing and closes again.
    fn write(&self, path: &str) -> io::Result<()> {
        let (node, handle) = self.open(path, libc::O_RDWR)?;
        self.close(node, handle)
    }

    fn close(&self, node: u64, handle: u64) -> io::Result<()> {
        self.folder.release(&ctx(), node, 0, handle, false, false, None)
    }

    fn chmod(&self, path: &str, mode: u32) -> io::Result<u32> {
        let node = self.walk(path)?;
        let mut wish = Entry::default().attr;
        wish.st_mode = mode;
        let valid = fuse_backend_rs::api::filesystem::SetattrValid::MODE;
        Ok(self.folder.setattr(&ctx(), node, wish, None, valid)?.0.st_mode)
    }

    /// The names that a directory shows, `.` and `..` left out, sorted, read in small portions.
    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let node = self.walk(path)?;
        let (handle, _) = self.folder.opendir(&ctx(), node, 0)?;
        let handle = handle.unwrap();
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let mut room = 5;
            let before = names.len();
            self.folder.readdirplus(&ctx(), node, handle, 4096, offset, &mut |entry, known| {
                if room == 0 {
                    return Ok(0);
                }
                room -= 1;
                offset = entry.offset;
                names.push(String::from_utf8_lossy(entry.name).into_owned());
                if known.inode != 0 {
                    self.folder.forget(&ctx(), known.inode, 1);
                }
                Ok(1)
            })?;
            if names.len() == before {
                break;
            }
        }
        self.folder.releasedir(&ctx(), node, 0, handle)?;
        names.retain(|n| n != "." && n != "..");
        names.sort();
        Ok(names)
    }
}

fn config(root: &Path, read_only: bool, hidden: Vec<FileId>, guard: Guard) -> FsConfig {
    let root = OwnedFd::from(fs::File::open(root).unwrap());
    FsConfig { root, read_only, owner: Owner { uid: 1000, gid: 1000 }, hidden, guard }
}

fn create_in(flags: i32, mode: u32) -> CreateIn {
    CreateIn { flags: (flags | libc::O_CREAT).cast_unsigned(), mode, umask: 0, fuse_flags: 0 }
}

fn ctx() -> Context {
    Context { uid: 1000, gid: 1000, pid: 1 }
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn id(path: &Path) -> FileId {
    let meta = fs::symlink_metadata(path).unwrap();
    FileId { dev: meta.dev(), ino: meta.ino() }
}

/// The error of a request, or what it wrongly gave.
fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Errno {
    let error = result.map(|ok| panic!("went through: {ok:?}")).unwrap_err();
    Errno::from_raw_os_error(error.raw_os_error().unwrap())
}

/// Asserts that a set of named requests is refused with one error, and goes through without the rule.
fn refused(what: Errno, with: &dyn Fn() -> Guest, without: &dyn Fn() -> Guest, requests: &[Request]) {
    for (name, request) in requests {
        assert_eq!(errno(request(&with())), what, "{name}");
        request(&without()).unwrap_or_else(|e| panic!("{name}, with the rule off: {e}"));
    }
}

type Request = (&'static str, fn(&Guest) -> io::Result<()>);

const EMPTY: &CStr = c"";
