//! An `fs` zone: one host folder as a virtio-fs device. Assume it taken over by the guest: it holds the guest's
//! memory and that one folder; read-only and the floor are enforced here.

use std::os::unix::net::UnixListener;

use super::{
    config::FsConfig,
    entry::{self, ZoneError},
};
use crate::{devices::fs, sys::descriptors::FIRST};

/// The agent's user in the guest.
const AGENT: fs::Owner = fs::Owner { uid: 1000, gid: 1000 };

pub(super) fn main() -> Result<(), ZoneError> {
    let config: FsConfig = entry::config()?;
    let listener = UnixListener::from(entry::take(FIRST, "the device's listener")?);
    let root = entry::take(FIRST + 1, "the folder")?;
    entry::enter(&config.jail)?;
    let served = fs::FsConfig {
        root,
        read_only: config.read_only,
        owner: AGENT,
        hidden: config.hidden.iter().map(|(dev, ino)| fs::FileId { dev: *dev, ino: *ino }).collect(),
        guard: config.guard.map_or_else(fs::Guard::off, |guarded| {
            fs::Guard::direct().within(&guarded.path, &guarded.repositories).with_paths(&guarded.places)
        }),
    };
    fs::serve(listener, &config.tag, served).map_err(ZoneError::failed("the device ended"))
}
