//! A program to execute, with the descriptors that it is to find.

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Descriptors of a launch begin here: where the launcher puts a zone's own.
pub const FIRST_DESCRIPTOR: i32 = crate::sys::descriptors::FIRST;

/// What the jail's last step executes.
#[derive(Debug)]
pub struct Launch {
    /// The program, without its name as first argument.
    pub arguments: Vec<OsString>,
    /// Name of the program, to be looked for on the host's search path before the jail closes.
    pub program: &'static str,
    /// Each descriptor with the number that it must have in the new process. Nothing else above 2 may be open
    /// there.
    pub descriptors: Vec<(i32, OwnedFd)>,
    /// Numbers among them that the program opens again through `/proc/self/fd`. Where such a descriptor is a
    /// file of the host, the jail needs a rule that this very file may be read; a memory file needs none.
    pub reopened: Vec<i32>,
    /// What the program opens by path: the jail's whole view of the host's files. Some need not exist.
    pub paths: HostPaths,
}

/// Paths of the host that a program opens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPaths {
    /// Files, or folders with everything below, to read.
    pub read: Vec<PathBuf>,
    /// Files to execute or to map as code: the program and its libraries.
    pub execute: Vec<PathBuf>,
    /// Devices to read, write and control.
    pub devices: Vec<PathBuf>,
}

impl HostPaths {
    /// Whether reading `path` is covered.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        [&self.read, &self.execute, &self.devices]
            .into_iter()
            .flatten()
            .any(|allowed| path.starts_with(allowed))
    }
}

/// Numbers descriptors in the order in which they are handed over.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    taken: Vec<(i32, OwnedFd)>,
}

impl Numbering {
    pub(super) fn take(&mut self, descriptor: OwnedFd) -> i32 {
        let number = self.taken.last().map_or(FIRST_DESCRIPTOR, |(last, _)| last + 1);
        self.taken.push((number, descriptor));
        number
    }

    pub(super) fn finish(self) -> Vec<(i32, OwnedFd)> {
        self.taken
    }
}
