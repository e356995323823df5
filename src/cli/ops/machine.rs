//! Sandboxes of this host, and their ports.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use super::Progress;
use crate::{
    cli::{
        args::Publish,
        command::attach,
        failure::{CommandResult, Failure},
    },
    model::{
        desired::Sandbox,
        name::Name,
        status::{PublishedPort, SandboxStatus},
    },
    template::doctor::Hardware,
};

/// Sandboxes that are there.
pub trait Machines {
    /// The sandbox that `reference` (`dev`, `web/dev`) names from here.
    ///
    /// # Errors
    /// Kind `NotFound`, or `Usage` with the candidates when there are several.
    fn find(&self, reference: &str) -> Result<Found, Failure>;

    /// Where this user's sandboxes stand; `here`: only those of this repository.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    fn list(&self, here: bool) -> Result<Vec<SandboxStatus>, Failure>;

    /// Starts a sandbox and waits until its guest answers.
    ///
    /// # Errors
    /// The guest's last words, a missing secret, what the host lacks.
    fn start(&self, sandbox: &Found, on: &dyn Progress) -> Result<SandboxStatus, Failure>;

    /// Stops a sandbox; with `force` without asking its guest, and its keeper for a moment only.
    ///
    /// # Errors
    /// When a process of it does not end.
    fn stop(&self, sandbox: &Found, grace: Duration, force: bool) -> Result<SandboxStatus, Failure>;

    /// Stops a sandbox and removes it with its disks; with `force` also where its keeper hangs. The audit trail stays.
    ///
    /// # Errors
    /// When it does not stop.
    fn remove(&self, sandbox: &Found, force: bool) -> Result<(), Failure>;

    /// Whether this is the id of a sandbox whose record cannot be read.
    fn is_damaged(&self, _id: &str) -> bool {
        false
    }

    /// Ends such a sandbox by force, and with `remove` deletes it with its disks; its audit trail stays. One that is gone
    /// is no error.
    ///
    /// # Errors
    /// When it does not end.
    fn end_damaged(&self, _id: &str, _remove: bool) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes a sandbox out of reconciling, or puts it back.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn suspend(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure>;

    /// Where a sandbox stands as soon as `reached` says so; none when that took longer than `limit`.
    ///
    /// # Errors
    /// When it is removed meanwhile, or its state cannot be read.
    fn await_status(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure>;

    /// Changes the ports that are published for a sandbox, at once where it runs, and gives those that are open.
    ///
    /// # Errors
    /// When a port cannot be had; the others are published.
    fn ports(&self, sandbox: &Found, edit: &PortEdit) -> Result<Vec<PublishedPort>, Failure>;

    /// Folders of audit trails: one sandbox's, or the host's and those of all sandboxes.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    fn trails(&self, sandbox: Option<&Found>) -> Result<Vec<PathBuf>, Failure>;

    /// Runs a command in a running sandbox, to its end, with this process's streams.
    ///
    /// # Errors
    /// Our failures, with exit code 125; a program that does not run, with the shell's code.
    fn session(&self, sandbox: &Found, wish: attach::Wish) -> CommandResult {
        attach::run(sandbox, wish)
    }

    /// What the probe of hardware virtualisation found.
    fn hardware(&self) -> Hardware;

    /// Plays the acceptance story. The value is the documented report.
    ///
    /// # Errors
    /// When it could not be played; an attack that got through is in the report.
    fn demo(&self, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure>;
}

/// A sandbox of this user.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub id: String,
    /// Its desired state as it was applied.
    pub desired: Sandbox,
    /// Its keeper's control socket; nobody listens there while it is stopped.
    pub socket: PathBuf,
    /// The guest's console log.
    pub console_log: PathBuf,
    /// Output of its set-up.
    pub setup_log: PathBuf,
    /// Its audit trail.
    pub audit: PathBuf,
}

/// A change to the ports that commands publish for one sandbox; empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortEdit {
    /// Published.
    pub publish: Vec<Publish>,
    /// Ports of the guest that are withdrawn.
    pub withdraw: Vec<u16>,
}
