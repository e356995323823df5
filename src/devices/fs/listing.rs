//! Reading directories. Positions are the host's own cookies, so they stay good while entries come and go.

use std::{ffi::CStr, io, mem::MaybeUninit, os::fd::AsFd};

use fuse_backend_rs::api::filesystem::{DirEntry, Entry};
use rustix::{
    fs::{FileType, OFlags, RawDir, RawDirEntry, SeekFrom, seek},
    io::Errno,
};

use super::{folder::Folder, handles::Handle, root::Found};

/// What one call to the host may return. Small enough that little is read twice when the guest's buffer is full.
const SMALLEST_BUFFER: usize = 1024;
const LARGEST_BUFFER: usize = 32 * 1024;

/// Takes an entry; false when there is no room for it.
pub(super) type Take<'a> = &'a mut dyn FnMut(DirEntry<'_>, Option<Entry>) -> io::Result<bool>;

/// Whether the guest wants the attributes of each entry, which counts as a look-up of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Names,
    Attributes,
}

impl Folder {
    /// Opens a directory; the number of its handle.
    pub(super) fn open_directory(&self, node: u64) -> io::Result<u64> {
        self.handles.room()?;
        let _names = self.names_stay();
        let spot = self.spot(node)?.directory()?;
        let (fd, _) = self.root.reopen(&spot, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.handles.insert(Handle::directory(node, fd))
    }

    /// Gives the entries from `offset` on until `take` has no room.
    pub(super) fn list(
        &self,
        (node, handle): (u64, u64),
        size: u32,
        offset: u64,
        detail: Detail,
        take: Take<'_>,
    ) -> io::Result<()> {
        let handle = self.handles.get(handle, node)?;
        let fd = handle.as_directory()?;
        let _names = self.names_stay();
        seek(&*fd, SeekFrom::Start(offset))?;
        // An entry with attributes takes about four times its name.
        let share = if detail == Detail::Attributes { 4 } else { 1 };
        let mut space = Vec::with_capacity((size as usize / share).clamp(SMALLEST_BUFFER, LARGEST_BUFFER));
        let space: &mut [MaybeUninit<u8>] = space.spare_capacity_mut();
        let mut entries = RawDir::new(fd.as_fd(), space);
        let mut some = false;
        while let Some(entry) = entries.next() {
            match self.give(node, fd.as_fd(), &entry?, detail, take) {
                Ok(true) => some = true,
                Ok(false) => break,
                // What was given already must reach the guest, or its look-ups would be counted and never forgotten.
                Err(_) if some => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Gives one entry, or passes over it; false when there is no room.
    fn give(
        &self,
        node: u64,
        dir: impl AsFd,
        raw: &RawDirEntry<'_>,
        detail: Detail,
        take: Take<'_>,
    ) -> io::Result<bool> {
        let name = raw.file_name();
        let plain = |ino, kind| DirEntry {
            ino,
            offset: raw.next_entry_cookie(),
            type_: directory_type(kind),
            name: name.to_bytes(),
        };
        if name == c"." || name == c".." {
            // The parent of the root is none of the guest's business; its kernel puts its own number there.
            return take(plain(self.root.id().ino, FileType::Directory), None);
        }
        if detail == Detail::Names && self.root.hidden().is_empty() {
            return take(plain(raw.ino(), raw.file_type()), None);
        }
        let found = match self.root.look(&dir, name) {
            Ok(found) => found,
            Err(e) if is(&e, Errno::NOENT) => return Ok(true),
            // Something that can be listed and not entered, a mount point first of all.
            Err(_) => return take(plain(raw.ino(), raw.file_type()), None),
        };
        let ino = self.attributes(&found).st_ino;
        match detail {
            Detail::Names => take(plain(ino, found.kind), None),
            Detail::Attributes => self.give_attributes(node, name, &found, plain(ino, found.kind), take),
        }
    }

    fn give_attributes(
        &self,
        node: u64,
        name: &CStr,
        found: &Found,
        plain: DirEntry<'_>,
        take: Take<'_>,
    ) -> io::Result<bool> {
        let entry = self.enter(node, name, found)?;
        let taken = take(plain, Some(entry));
        if !matches!(taken, Ok(true)) {
            self.table().forget(entry.inode, 1);
        }
        taken
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn directory_type(kind: FileType) -> u32 {
    let kind = match kind {
        FileType::RegularFile => libc::DT_REG,
        FileType::Directory => libc::DT_DIR,
        FileType::Symlink => libc::DT_LNK,
        FileType::Fifo => libc::DT_FIFO,
        FileType::Socket => libc::DT_SOCK,
        FileType::CharacterDevice => libc::DT_CHR,
        FileType::BlockDevice => libc::DT_BLK,
        FileType::Unknown => libc::DT_UNKNOWN,
    };
    kind.into()
}
