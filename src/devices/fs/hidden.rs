//! What does not exist for the guest: the floor, by identity and not by name.

use std::{collections::HashSet, ffi::CString, io, mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{
    fs::{FileType, OFlags, RawDir},
    io::Errno,
};

use super::{FileId, root::Root};

/// Entries that one rename may look at before it is refused: a million take a second or two.
const WALK_LIMIT: usize = 1_000_000;

/// The set of hidden files and directories.
#[derive(Debug, Default)]
pub(super) struct Hidden(HashSet<FileId>);

impl Hidden {
    pub fn new(ids: Vec<FileId>) -> Self {
        Self(ids.into_iter().collect())
    }

    pub fn contains(&self, id: FileId) -> bool {
        self.0.contains(&id)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a directory holds something hidden at any depth. Moving it would let the guest put a directory of its own
/// at the place where the host expects the hidden one.
///
/// # Errors
/// `EPERM` when that cannot be found out: an unreadable directory, or a tree beyond the bound.
pub(super) fn holds_hidden(root: &Root, dir: OwnedFd) -> io::Result<bool> {
    if root.hidden().is_empty() {
        return Ok(false);
    }
    let mut pending = vec![CString::from(c".")];
    let mut seen = 0_usize;
    while let Some(path) = pending.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let current = root.open_in(&dir, &path, flags, rustix::fs::Mode::empty()).map_err(|_| Errno::PERM)?;
        let mut space = [MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(&current, &mut space);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|_| Errno::PERM)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            seen += 1;
            if seen > WALK_LIMIT {
                return Err(Errno::PERM.into());
            }
            let found = match root.stat(&current, name) {
                Ok(found) => found,
                Err(Errno::NOENT) => continue,
                Err(_) => return Err(Errno::PERM.into()),
            };
            if root.hidden().contains(found.id) {
                return Ok(true);
            }
            if found.kind == FileType::Directory && !root.is_foreign(&found) {
                pending.push(join(&path, name.to_bytes())?);
            }
        }
    }
    Ok(false)
}

fn join(path: &CString, name: &[u8]) -> io::Result<CString> {
    let joined = [path.as_bytes(), b"/", name].concat();
    CString::new(joined).map_err(|_| Errno::PERM.into())
}
