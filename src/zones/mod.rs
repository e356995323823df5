//! The processes (`DESIGN.md`, section 2). Level 4: each module is the composition root of one of them, and may
//! import what that zone needs, no more.
//!
//! A zone is this same executable, started as `cofferdam __zone ROLE` with its configuration in descriptor 3, a
//! lifeline in 4, and what it works on from 5 on. It enters its jail before its first thread.

pub mod broker;
pub mod config;
pub mod egress;
mod entry;
pub mod fs;
pub mod keeper;
pub mod launcher;
pub mod probe;
pub mod vmm;
pub mod vsock;

use std::process::ExitCode;

/// Runs the zone `role` until it ends.
#[must_use]
pub fn main(role: &str) -> ExitCode {
    let result = match role {
        "launcher" => launcher::main(),
        "keeper" => keeper::main(),
        "egress" => egress::main(),
        "vsock" => vsock::main(),
        "fs" => fs::main(),
        "vmm" => vmm::main(),
        "broker" => broker::main(),
        "probe" => probe::main(),
        _ => Err(entry::ZoneError::Unknown),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            entry::complain(role, &error);
            ExitCode::FAILURE
        }
    }
}
