//! Names to nodes.

use std::{ffi::CStr, io};

use fuse_backend_rs::api::filesystem::Entry;
use rustix::{fs::readlinkat, io::Errno};

use super::{
    folder::{Folder, entry_name},
    root::PATH_ONLY,
};

impl Folder {
    /// What `name` is in the directory `parent`.
    pub(super) fn look_up(&self, parent: u64, name: &CStr) -> io::Result<Entry> {
        let name = entry_name(name)?;
        let _names = self.names_stay();
        let place = self.place(parent)?;
        match self.root.look(&place.fd, name) {
            Ok(found) => self.enter(parent, name, &found),
            Err(e) => {
                if e.raw_os_error() == Some(Errno::NOENT.raw_os_error()) {
                    self.table().detach(parent, name.to_bytes());
                }
                Err(e)
            }
        }
    }

    /// The text of a symlink. It is never followed here, wherever it points.
    pub(super) fn link_text(&self, node: u64) -> io::Result<Vec<u8>> {
        let _names = self.names_stay();
        let spot = self.spot(node)?;
        if !spot.kind.is_symlink() {
            return Err(Errno::INVAL.into());
        }
        let (fd, _) = self.root.reopen(&spot, PATH_ONLY)?;
        Ok(readlinkat(fd, c"", Vec::new())?.into_bytes())
    }
}
