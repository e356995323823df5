//! Stories that boot real machines and run the real program, as a user would. Each is told from outside: commands,
//! their exit codes, what arrives at servers, what lies on the disk.
//!
//! Red-team ids (`A01` …) stand in the names of the tests. A check is only as good as its opposite, so each story that
//! shows something blocked also does the same thing where it is allowed; the deliberate breaks of single checks are
//! beside the code that makes them.
//!
//! Read [`rig`] first. Most stories share the one sandbox of [`rig::shared`], so that the whole takes minutes.

mod rig;

mod approval;
mod broken_template;
mod busy;
mod changes;
mod during;
mod ends;
mod evasion;
mod execution;
mod flags;
mod input;
mod interrupted;
mod isolation;
mod lifecycle;
mod mounts;
mod network;
mod ports;
mod secrets;
mod setup;
mod siblings;
mod template;
mod tls;
mod trail;
