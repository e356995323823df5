//! Names that come, go and move. Each operation holds the lock on names from its first question to its last effect.

use std::{
    ffi::{CStr, CString},
    io,
};

use fuse_backend_rs::api::filesystem::Entry;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, linkat, mkdirat, renameat_with, symlinkat, unlinkat},
    io::Errno,
};

use super::{
    files::permissions,
    folder::{Folder, Made, Place, allow, entry_name},
    guard::Verdict,
    hidden::holds_hidden,
    root::Found,
};

impl Folder {
    pub(super) fn make_directory(
        &self,
        parent: u64,
        name: &CStr,
        mode: u32,
        umask: u32,
    ) -> io::Result<Entry> {
        self.make_entry(parent, name, Made::Directory, |place, name| {
            mkdirat(&place.fd, name, permissions(mode, umask))
        })
    }

    pub(super) fn make_symlink(&self, text: &CStr, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.make_entry(parent, name, Made::Symlink, |place, name| symlinkat(text, &place.fd, name))
    }

    /// Regular files only: a FIFO, socket or device made here would be one of the host's.
    pub(super) fn make_node(&self, parent: u64, name: &CStr, mode: u32, umask: u32) -> io::Result<Entry> {
        allow(matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG))?;
        self.make_entry(parent, name, Made::File, |place, name| {
            self.make(place, name, OFlags::WRONLY, permissions(mode, umask)).map(drop)
        })
    }

    fn make_entry(
        &self,
        parent: u64,
        name: &CStr,
        made: Made,
        make: impl FnOnce(&Place, &CStr) -> Result<(), Errno>,
    ) -> io::Result<Entry> {
        let name = entry_name(name)?;
        self.writable()?;
        let _names = self.names_change();
        let place = self.place(parent)?;
        self.may_make(&place, name, made)?;
        make(&place, name)?;
        let found = self.root.look(&place.fd, name)?;
        self.enter(parent, name, &found)
    }

    /// A second name for a regular file or symlink.
    pub(super) fn make_link(&self, node: u64, parent: u64, name: &CStr) -> io::Result<Entry> {
        let name = entry_name(name)?;
        self.writable()?;
        let _names = self.names_change();
        let source = self.spot(node)?;
        let file = source.path.last().ok_or(Errno::PERM)?;
        let file = CString::new(file.to_vec()).map_err(|_| Errno::INVAL)?;
        let (old, new) = (self.place(source.parent)?, self.place(parent)?);
        let found = self.root.look(&old.fd, &file)?;
        if found.id != source.id || found.kind != source.kind {
            return Err(Errno::STALE.into());
        }
        // A second name for a protected file would be a way to write it.
        self.may_move(&source.path)?;
        let made = if found.kind == FileType::RegularFile { Made::File } else { Made::Symlink };
        self.may_make(&new, name, made)?;
        linkat(&old.fd, &*file, &new.fd, name, AtFlags::empty())?;
        match self.root.look(&new.fd, name) {
            Ok(linked) if linked.id == found.id => self.enter(parent, name, &linked),
            // The host swapped the file in between; what got the name instead must not keep it.
            _ => {
                unlinkat(&new.fd, name, AtFlags::empty())?;
                Err(Errno::STALE.into())
            }
        }
    }

    pub(super) fn remove(&self, parent: u64, name: &CStr, flags: AtFlags) -> io::Result<()> {
        let name = entry_name(name)?;
        self.writable()?;
        let _names = self.names_change();
        let place = self.place(parent)?;
        self.root.look(&place.fd, name)?;
        self.may_move(&place.path_of(name))?;
        unlinkat(&place.fd, name, flags)?;
        self.table().detach(parent, name.to_bytes());
        Ok(())
    }

    pub(super) fn rename_entry(&self, from: (u64, &CStr), to: (u64, &CStr), flags: u32) -> io::Result<()> {
        let (from_name, to_name) = (entry_name(from.1)?, entry_name(to.1)?);
        let flags = RenameFlags::from_bits_retain(flags);
        let known = [RenameFlags::empty(), RenameFlags::NOREPLACE, RenameFlags::EXCHANGE];
        if !known.contains(&flags) {
            return Err(Errno::INVAL.into());
        }
        self.writable()?;
        let _names = self.names_change();
        let (old, new) = (self.place(from.0)?, self.place(to.0)?);
        let moved = self.root.look(&old.fd, from_name)?;
        let replaced = self.root.occupant(&new.fd, to_name)?;
        self.may_rename(&old, from_name, &new, to_name, &moved)?;
        if flags == RenameFlags::EXCHANGE {
            let replaced = replaced.ok_or(Errno::NOENT)?;
            self.may_rename(&new, to_name, &old, from_name, &replaced)?;
        }
        renameat_with(&old.fd, from_name, &new.fd, to_name, flags)?;
        let (from, to) = ((from.0, from_name.to_bytes()), (to.0, to_name.to_bytes()));
        if flags == RenameFlags::EXCHANGE {
            self.table().exchange(from, to);
        } else {
            self.table().rename(from, to);
        }
        Ok(())
    }

    /// Whether `moved` may leave its name and take the new one. The result decides, so whichever piece of a repository
    /// is moved last is the one that is refused.
    fn may_rename(
        &self,
        old: &Place,
        old_name: &CStr,
        new: &Place,
        new_name: &CStr,
        moved: &Found,
    ) -> io::Result<()> {
        let before = self.judge(&old.path_of(old_name), true);
        let after = self.judge(&new.path_of(new_name), true);
        allow(before.verdict == Verdict::Free && after.verdict == Verdict::Free)?;
        // Directories and links could bring into a repository what could not have been made there.
        allow(!after.in_git || before.in_git || moved.kind == FileType::RegularFile)?;
        self.may_complete(new, new_name)?;
        if moved.kind == FileType::Directory {
            let dir =
                self.root.open_in(&old.fd, old_name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            allow(!holds_hidden(&self.root, dir)?)?;
        }
        Ok(())
    }
}
