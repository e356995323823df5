//! *Replace*: a new system disk on the template as it is described now; home, workspace, caches and the agent's history
//! lie on the data disk and stay.

use super::{Host, machines::state_failure};
use crate::{cli::failure::Failure, store::Record};

impl Host {
    /// Finishes or forgets a renewal that was killed, where no machine uses the disk.
    pub(super) fn settle_renewal(&self, record: &Record) -> Result<(), Failure> {
        let dir = self.store.sandbox(&record.id);
        match dir.lock_life().map_err(state_failure)? {
            Some(life) => dir.settle_renewal(&life).map_err(state_failure),
            None => Ok(()),
        }
    }
}
