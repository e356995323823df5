//! Open files: how they are opened is judged once, what goes through them afterwards is not judged again.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, OwnedFd},
};

use fuse_backend_rs::{
    abi::fuse_abi::CreateIn,
    api::filesystem::{Entry, ZeroCopyReader, ZeroCopyWriter},
};
use rustix::{
    fs::{FallocateFlags, Mode, OFlags, SeekFrom, fallocate, fdatasync, fsync, ftruncate, seek},
    io::Errno,
};

use super::{
    folder::{Folder, Made, Place, entry_name},
    handles::Handle,
    root::Found,
    table::Spot,
};

/// Most that one read or write moves: what the guest may ask for, too.
const LARGEST_TRANSFER: usize = 1 << 20;

/// How the guest wants a file opened. Flags that are not named here have no effect: `O_DIRECT` would pass alignment
/// rules on, `O_NOATIME` needs ownership, and the creation flags are handled apart.
#[derive(Debug, Clone, Copy)]
struct Wish {
    access: OFlags,
    truncate: bool,
    exclusive: bool,
}

impl Wish {
    fn parse(flags: u32) -> io::Result<Self> {
        let flags = OFlags::from_bits_retain(flags);
        let truncate = flags.contains(OFlags::TRUNC);
        let mode = match flags & OFlags::RWMODE {
            // Truncation needs a descriptor that can write, also when the guest will only read.
            OFlags::RDONLY if truncate => OFlags::RDWR,
            mode if mode == OFlags::RWMODE => return Err(Errno::INVAL.into()),
            mode => mode,
        };
        let kept = flags & (OFlags::APPEND | OFlags::DSYNC | OFlags::SYNC);
        Ok(Self { access: mode | kept, truncate, exclusive: flags.contains(OFlags::EXCL) })
    }

    fn writes(self) -> bool {
        self.access & OFlags::RWMODE != OFlags::RDONLY
    }
}

impl Folder {
    /// Opens a file; the number of its handle.
    pub(super) fn open_file(&self, node: u64, flags: u32) -> io::Result<u64> {
        let wish = Wish::parse(flags)?;
        if wish.writes() {
            self.writable()?;
        }
        self.handles.room()?;
        let _names = self.names_stay();
        let (fd, _) = self.open_spot(&self.spot(node)?, wish)?;
        self.handles.insert(Handle::file(node, fd))
    }

    fn open_spot(&self, spot: &Spot, wish: Wish) -> io::Result<(OwnedFd, Found)> {
        if wish.writes() {
            self.may_write(&spot.path)?;
        }
        let (fd, found) = self.root.reopen_regular(spot, wish.access)?;
        // Only now that it is known to be the right file.
        if wish.truncate {
            ftruncate(&fd, 0)?;
        }
        Ok((fd, found))
    }

    /// Makes and opens a file, or opens the one that is there.
    pub(super) fn create_file(&self, parent: u64, name: &CStr, wish: CreateIn) -> io::Result<(Entry, u64)> {
        let name = entry_name(name)?;
        self.writable()?;
        let mode = permissions(wish.mode, wish.umask);
        let wish = Wish::parse(wish.flags)?;
        self.handles.room()?;
        let _names = self.names_change();
        let place = self.place(parent)?;
        self.may_make(&place, name, Made::File)?;
        let (fd, found) = match self.make(&place, name, wish.access, mode) {
            Err(Errno::EXIST) if !wish.exclusive => {
                let there = self.root.look(&place.fd, name)?;
                let spot = Spot { parent, path: place.path_of(name), id: there.id, kind: there.kind };
                self.open_spot(&spot, wish)?
            }
            made => {
                let fd = made?;
                let found = self.root.examine(&fd)?;
                (fd, found)
            }
        };
        let entry = self.enter(parent, name, &found)?;
        let handle = self.handles.insert(Handle::file(entry.inode, fd))?;
        Ok((entry, handle))
    }

    /// Makes an empty regular file, which must not be there.
    pub(super) fn make(
        &self,
        place: &Place,
        name: &CStr,
        access: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        self.root.open_in(&place.fd, name, access | OFlags::CREATE | OFlags::EXCL | OFlags::NOCTTY, mode)
    }

    pub(super) fn read_file(
        &self,
        (node, handle): (u64, u64),
        to: &mut dyn ZeroCopyWriter,
        size: u32,
        offset: u64,
    ) -> io::Result<usize> {
        let handle = self.handles.get(handle, node)?;
        let count = (size as usize).min(LARGEST_TRANSFER).min(to.available_bytes());
        to.write_from(&mut *handle.as_file()?, count, offset)
    }

    pub(super) fn write_file(
        &self,
        (node, handle): (u64, u64),
        from: &mut dyn ZeroCopyReader,
        size: u32,
        offset: u64,
    ) -> io::Result<usize> {
        self.writable()?;
        let handle = self.handles.get(handle, node)?;
        from.read_to(&mut *handle.as_file()?, (size as usize).min(LARGEST_TRANSFER), offset)
    }

    pub(super) fn sync(&self, node: u64, handle: u64, data_only: bool) -> io::Result<()> {
        let handle = self.handles.get(handle, node)?;
        handle.with_fd(|fd| Ok(if data_only { fdatasync(fd) } else { fsync(fd) }?))
    }

    pub(super) fn allocate(
        &self,
        (node, handle): (u64, u64),
        mode: u32,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        self.writable()?;
        let flags = FallocateFlags::from_bits_retain(mode);
        let known = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        if !known.contains(flags) {
            return Err(Errno::OPNOTSUPP.into());
        }
        let handle = self.handles.get(handle, node)?;
        let file = handle.as_file()?;
        Ok(fallocate(file.as_fd(), flags, offset, length)?)
    }

    /// Where data or a hole begins; plain positions are the guest's own affair.
    pub(super) fn seek(&self, (node, handle): (u64, u64), offset: u64, whence: u32) -> io::Result<u64> {
        let to = match i32::try_from(whence) {
            Ok(libc::SEEK_DATA) => SeekFrom::Data(offset),
            Ok(libc::SEEK_HOLE) => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL.into()),
        };
        let handle = self.handles.get(handle, node)?;
        let file = handle.as_file()?;
        Ok(seek(file.as_fd(), to)?)
    }
}

/// What of a mode takes effect: no set-id bit, no sticky bit.
pub(super) fn permissions(mode: u32, umask: u32) -> Mode {
    Mode::from_bits_truncate(mode & !umask & 0o777)
}
