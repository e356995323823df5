//! The kernel's interface, where a library does not have it in a safe form. Level 0; an island of `unsafe`.

pub mod handoff;
