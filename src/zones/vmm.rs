//! The `vmm` zone: enters the jail, then becomes the emulator. Assume it taken over by the guest: it holds its own
//! disks, memory and sockets, all handed in, and can open no socket and no file of the host.

use std::{ffi::OsString, io, os::fd::AsFd};

use super::{
    config::VmmConfig,
    entry::{self, ZoneError},
};
use crate::sys::{
    descriptors::{self, LIFELINE},
    jail::{self, PROGRAM_DESCRIPTOR},
    process,
};

pub(super) fn main() -> Result<(), ZoneError> {
    let config: VmmConfig = entry::config()?;
    drop(entry::take(LIFELINE, "the lifeline")?);
    let program = open_program(&config).map_err(ZoneError::failed("cannot open the emulator"))?;
    let entered = jail::enter(&config.jail)?;
    entry::report_missing(&entered.missing);
    // The emulator cannot watch the lifeline. The launcher has one thread, so this signal is as good here.
    process::die_with_parent().map_err(ZoneError::failed("cannot set the death signal"))?;
    let arguments: Vec<OsString> =
        std::iter::once(config.program.into_os_string()).chain(config.arguments).collect();
    let source = process::execute(program.as_fd(), &arguments, &[]);
    Err(ZoneError::Failed { what: "cannot execute the emulator", source: source.into() })
}

/// Opens the program before the jail closes the file system, at the number that the filter knows.
fn open_program(config: &VmmConfig) -> io::Result<std::os::fd::OwnedFd> {
    let program = std::fs::File::open(&config.program)?;
    descriptors::move_to(program.into(), PROGRAM_DESCRIPTOR)
}
