//! The kernel's interface, where a library does not have it in a safe form. Level 0; an island of `unsafe`.

#![expect(unsafe_code, reason = "an island of unsafe: each block states the invariant that makes it sound")]

pub mod changes;
pub mod descriptors;
pub mod handoff;
pub mod jail;
pub mod memory_file;
#[cfg(test)]
pub(crate) mod meter;
pub mod packet;
pub mod process;
pub mod readiness;
pub mod relay;
