//! From the initramfs to a root file system that an agent can work in: what PID 1 does once.
//!
//! Read in the order of [`bring_up`]. Nothing here starts a process: under emulation a shell per step would cost
//! more than all steps together. Each step names itself in its error, which becomes the one line on the console
//! that the host shows when a machine does not come up.
//!
//! The system disk holds what the guest wrote before, so each step is idempotent and replaces what it needs.

mod account;
mod api;
mod certificate;
mod disks;
mod etc;
mod home;
mod modules;
mod place;
mod root;
mod share;
mod tree;

use std::{fmt, io, path::Path};

use crate::{
    handover::Handover,
    wire::{BootConfig, boot::BOOT_CONFIG_PATH},
};

pub use self::{api::shield_server, place::follow, root::Sealed, tree::make_folders};

/// Why the machine did not come up.
#[derive(Debug)]
pub struct BootError {
    stage: &'static str,
    what: String,
    source: io::Error,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.stage, self.what, self.source)
    }
}

impl std::error::Error for BootError {}

/// Names the stage and the thing at which an operation failed.
trait Stage<T> {
    fn stage(self, stage: &'static str, what: impl fmt::Display) -> Result<T, BootError>;
}

impl<T, E: Into<io::Error>> Stage<T> for Result<T, E> {
    fn stage(self, stage: &'static str, what: impl fmt::Display) -> Result<T, BootError> {
        self.map_err(|error| BootError { stage, what: what.to_string(), source: error.into() })
    }
}

/// A machine whose root is in place.
#[derive(Debug)]
pub struct Booted {
    /// For the children.
    pub handover: Handover,
    /// For the power-off: the disks to make clean.
    pub disks: Sealed,
}

/// Largest boot configuration, in bytes: it carries the environment.
const CONFIG_MAX: u64 = 16 * 1024 * 1024;

/// Brings everything up, short of the children.
///
/// # Errors
/// The first step that failed. The machine is of no use then.
pub fn bring_up() -> Result<Booted, BootError> {
    api::mount_first()?;
    let config = read_config()?;
    let arrivals = disks::Arrivals::open()?;
    let mut notes = modules::load(&config.modules);
    let found = disks::find(&config.disks, &arrivals)?;
    let sealed = root::assemble(&found)?;
    sealed.enter()?;
    api::mount_rest()?;
    root::modules(&found.modules, &mut notes);
    etc::write(&config.hostname)?;
    account::ensure_agent(&config.env)?;
    home::bind(&sealed)?;
    certificate::install(&config.ca_pem)?;
    let moves = share::mount_all(&config.mounts, &mut notes)?;
    let working_dir = share::working_dir(config.working_dir.as_deref(), &moves)?;
    let agent_procs = api::limit_agent(&mut notes);
    let handover = Handover { env: config.env, working_dir, moves, notes, agent_procs };
    Ok(Booted { handover, disks: sealed })
}

fn read_config() -> Result<BootConfig, BootError> {
    let path = Path::new(BOOT_CONFIG_PATH);
    let length = path.metadata().stage("configuration", BOOT_CONFIG_PATH)?.len();
    if length > CONFIG_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge)).stage("configuration", BOOT_CONFIG_PATH);
    }
    let bytes = std::fs::read(path).stage("configuration", BOOT_CONFIG_PATH)?;
    let config: BootConfig =
        serde_json::from_slice(&bytes).map_err(io::Error::from).stage("configuration", BOOT_CONFIG_PATH)?;
    if config.version != crate::wire::VERSION {
        let why = format!("protocol version {}, this guest speaks {}", config.version, crate::wire::VERSION);
        return Err(io::Error::other(why)).stage("configuration", BOOT_CONFIG_PATH);
    }
    Ok(config)
}
