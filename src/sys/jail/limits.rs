//! Resource limits.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// No core dump, and at most so many descriptors.
pub(super) fn set(max_descriptors: u64) -> io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    let held = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let descriptors = Some(max_descriptors.min(held));
    setrlimit(Resource::Nofile, Rlimit { current: descriptors, maximum: descriptors })?;
    Ok(())
}
