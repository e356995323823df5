//! *Replace*: a new system disk on the template as it is described now; home, workspace, caches and the agent's history
//! lie on the data disk and stay.

use super::{
    Host,
    machines::{SYSTEM_DISK, remove_failure, state_failure},
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::Progress,
    },
    store::{Record, RemoveError},
    template,
};

impl Host {
    /// Renews the system disk of a sandbox that is down; `setup.create` runs again at its next start. Killed anywhere,
    /// the next start has the old disk or the new one, whole, on the template that it belongs to.
    ///
    /// # Errors
    /// When it runs, or its template or the disk cannot be made; the old disk stands then.
    pub(super) fn renew_system(&self, record: &Record, on: &dyn Progress) -> Result<(), Failure> {
        // Before the lock: it may take minutes, and changes nothing of the sandbox.
        let stack = self.ensure_stack(&record.desired, Some(record), on)?;
        on.step("making disks", None, "");
        let dir = self.store.sandbox(&record.id);
        let life = dir.lock_life().map_err(state_failure)?;
        let life = life.ok_or_else(|| remove_failure(RemoveError::Alive(record.id.clone())))?;
        dir.settle_renewal(&life).map_err(state_failure)?;
        template::create_disk(&template::Host::this(), &dir.next_disk(), SYSTEM_DISK, "system").map_err(
            |error| Failure::new(Kind::Failed, "disk", "cannot make the new system disk").caused_by(&error),
        )?;
        dir.commit_renewal(&stack, &life).map_err(state_failure)
    }

    /// Finishes or forgets a renewal that was killed, where no machine uses the disk.
    pub(super) fn settle_renewal(&self, record: &Record) -> Result<(), Failure> {
        let dir = self.store.sandbox(&record.id);
        match dir.lock_life().map_err(state_failure)? {
            Some(life) => dir.settle_renewal(&life).map_err(state_failure),
            None => Ok(()),
        }
    }
}
