//! What the reconciler needs of this host, as narrow as it can be.

use crate::{
    model::{desired::Sandbox, name::SandboxId, progress::Unfinished},
    plan::Observed,
};

/// What can be expected of another try after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It may work the next time.
    Retry,
    /// It will not, before a person has done something.
    Person,
}

/// What the reconciler does to this host. Each effect may be asked for again after it was done, or half done: it ends
/// in the same state.
pub trait World {
    /// Why an effect failed.
    type Failure;

    /// The sandboxes that exist for the owner of the files.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn observe(&mut self) -> Result<Vec<Observed>, Self::Failure>;

    /// Makes a sandbox's record, and notes that its disks are still to be made.
    ///
    /// # Errors
    /// When policy refuses, or the host does; nothing is made then.
    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Self::Failure>;

    /// Makes the disks that a new sandbox lacks; those that are there stay.
    ///
    /// # Errors
    /// When the host refuses.
    fn furnish(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Writes a new definition and, in the same write, what is to be done before the sandbox is that; more that is
    /// still to be done stays. A sandbox that has a document is no orphan.
    ///
    /// # Errors
    /// When policy refuses, the host does, or somebody else changed it; the old definition stands then.
    fn record(&mut self, id: &SandboxId, wanted: &Sandbox, until: Unfinished) -> Result<(), Self::Failure>;

    /// Notes how far the work has come; `None` when it has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    fn reach(&mut self, id: &SandboxId, left: Option<Unfinished>) -> Result<(), Self::Failure>;

    /// Puts the recorded rules in force in a running sandbox.
    ///
    /// # Errors
    /// When the sandbox does not take them.
    fn enforce(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Takes the system disk of a stopped sandbox and gives it a blank one. The data disk stays as it is.
    ///
    /// # Errors
    /// When the sandbox runs, or the host refuses.
    fn renew(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Starts it and waits until its guest answers; one that runs goes on.
    ///
    /// # Errors
    /// When it does not come up.
    fn start(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Stops it when it runs.
    ///
    /// # Errors
    /// When it does not go down.
    fn stop(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Notes that its document is gone.
    ///
    /// # Errors
    /// When it cannot be written.
    fn orphan(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Removes a stopped sandbox with its disks.
    ///
    /// # Errors
    /// When it runs, or the host refuses.
    fn remove(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// What can be expected of another try.
    fn outlook(&self, failure: &Self::Failure) -> Outlook;

    /// The failure in one line, for a person.
    fn words(&self, failure: &Self::Failure) -> String;
}
