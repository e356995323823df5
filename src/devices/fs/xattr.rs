//! Extended attributes: `user.*` only. What else a host's file carries (capabilities, labels, access lists) means
//! something on the host and nothing in the guest.

use std::{ffi::CStr, io, os::fd::OwnedFd};

use fuse_backend_rs::api::filesystem::{GetxattrReply, ListxattrReply};
use rustix::{
    fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr},
    io::Errno,
};

use super::folder::Folder;

/// The kernel's own bound, of a value and of a list (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LARGEST: usize = 64 * 1024;

impl Folder {
    pub(super) fn set_attribute(&self, node: u64, name: &CStr, value: &[u8], flags: u32) -> io::Result<()> {
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        if value.len() > LARGEST {
            return Err(Errno::TOOBIG.into());
        }
        Ok(fsetxattr(self.carrier_to_change(node, name)?, name, value, flags)?)
    }

    pub(super) fn remove_attribute(&self, node: u64, name: &CStr) -> io::Result<()> {
        Ok(fremovexattr(self.carrier_to_change(node, name)?, name)?)
    }

    pub(super) fn attribute(&self, node: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        passes(name)?;
        let mut value = vec![0; LARGEST];
        let length = fgetxattr(self.carrier(node)?, name, &mut value[..])?;
        value.truncate(length);
        match reply(length, size)? {
            Some(count) => Ok(GetxattrReply::Count(count)),
            None => Ok(GetxattrReply::Value(value)),
        }
    }

    pub(super) fn attribute_names(&self, node: u64, size: u32) -> io::Result<ListxattrReply> {
        let mut all = vec![0; LARGEST];
        let length = flistxattr(self.carrier(node)?, &mut all[..])?;
        let names: Vec<u8> = all[..length]
            .split_inclusive(|byte| *byte == 0)
            .filter(|name| name.starts_with(b"user."))
            .flatten()
            .copied()
            .collect();
        match reply(names.len(), size)? {
            Some(count) => Ok(ListxattrReply::Count(count)),
            None => Ok(ListxattrReply::Names(names)),
        }
    }

    fn carrier_to_change(&self, node: u64, name: &CStr) -> io::Result<OwnedFd> {
        passes(name)?;
        self.writable()?;
        self.may_write(&self.spot(node)?.path)?;
        self.carrier(node)
    }

    fn carrier(&self, node: u64) -> io::Result<OwnedFd> {
        let _names = self.names_stay();
        let spot = self.spot(node)?;
        if !spot.kind.is_file() && !spot.kind.is_dir() {
            return Err(Errno::OPNOTSUPP.into());
        }
        Ok(self.open_for_attributes(&spot)?.0)
    }
}

/// # Errors
/// `EOPNOTSUPP` for any other name space. Not `ENOSYS`: that would end extended attributes for the whole mount.
fn passes(name: &CStr) -> io::Result<()> {
    if name.to_bytes().starts_with(b"user.") { Ok(()) } else { Err(Errno::OPNOTSUPP.into()) }
}

/// `Some` with the length when the guest only asks for it.
fn reply(length: usize, room: u32) -> io::Result<Option<u32>> {
    match (room as usize, u32::try_from(length)) {
        (0, Ok(length)) => Ok(Some(length)),
        (room, Ok(_)) if length <= room => Ok(None),
        _ => Err(Errno::RANGE.into()),
    }
}
