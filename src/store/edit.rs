//! How records change: what a sandbox shall be, under its generation; what is true of it besides, at any time.

use super::{
    file::{self, StoreError},
    sandbox::Record,
    state::Store,
};
use crate::model::{
    desired::Sandbox,
    name::{Name, SandboxId},
    progress::{Obstructed, Unfinished},
};

/// Why a record was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Somebody else changed it since it was read.
    #[error("sandbox `{name}` was changed meanwhile (generation {found}, not {expected}); plan again")]
    Stale {
        /// Its name.
        name: Name,
        /// What the caller had read.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The state directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Changes what a sandbox shall be, if it is still what the caller had read as `generation`. An equal state is
    /// no change.
    ///
    /// # Errors
    /// [`UpdateError::Stale`] when it is not.
    pub fn update(&self, id: &SandboxId, generation: u64, desired: Sandbox) -> Result<Record, UpdateError> {
        self.edit(id, generation, |record| record.desired = desired)
    }

    /// As [`Store::update`], and notes in the same write what is to be done before the sandbox is that. More that is
    /// still to be done stays. A sandbox that has a document again is no orphan.
    ///
    /// # Errors
    /// [`UpdateError::Stale`] when somebody else changed it.
    pub fn update_until(
        &self,
        id: &SandboxId,
        generation: u64,
        desired: Sandbox,
        unfinished: Option<Unfinished>,
    ) -> Result<Record, UpdateError> {
        self.edit(id, generation, |record| {
            record.desired = desired;
            record.unfinished = record.unfinished.max(unfinished);
            record.orphaned_since = None;
        })
    }

    /// Notes how far the work has come, if the sandbox is still what the caller had read as `generation`.
    ///
    /// # Errors
    /// [`UpdateError::Stale`] when it is not.
    pub fn reach(
        &self,
        id: &SandboxId,
        generation: u64,
        unfinished: Option<Unfinished>,
    ) -> Result<Record, UpdateError> {
        self.edit(id, generation, |record| record.unfinished = unfinished)
    }

    /// Notes that a sandbox's document is gone; the first time stays.
    ///
    /// # Errors
    /// [`UpdateError::Stale`] when somebody else changed it.
    pub fn orphan(&self, id: &SandboxId, generation: u64, since: &str) -> Result<Record, UpdateError> {
        self.edit(id, generation, |record| {
            record.orphaned_since.get_or_insert_with(|| since.to_owned());
        })
    }

    /// Takes a sandbox out of reconciling, or puts it back with `None`; the first time stays.
    ///
    /// # Errors
    /// When it is gone, or the disk refuses.
    pub fn suspend(&self, id: &SandboxId, since: Option<&str>) -> Result<Record, StoreError> {
        self.change(id, |record| {
            record.suspended_since = since.map(|now| record.suspended_since.take().unwrap_or(now.to_owned()));
        })
    }

    /// Notes what keeps a sandbox from being what its file says; `None` when nothing does any more.
    ///
    /// # Errors
    /// When it is gone, or the disk refuses.
    pub fn obstruct(&self, id: &SandboxId, by: Option<Obstructed>) -> Result<Record, StoreError> {
        self.change(id, |record| record.obstructed = by)
    }

    /// What is true of a sandbox whatever it shall be.
    fn change(&self, id: &SandboxId, change: impl FnOnce(&mut Record)) -> Result<Record, StoreError> {
        let dir = self.sandbox(id);
        let _lock = dir.lock_edit()?;
        let before = self.load(id)?;
        let mut record = before.clone();
        change(&mut record);
        if record != before {
            file::write(&dir.record(), &record)?;
        }
        Ok(record)
    }

    /// The generation counts up only with `desired`: a plan that was made before a step of its own work is not stale.
    fn edit(
        &self,
        id: &SandboxId,
        generation: u64,
        change: impl FnOnce(&mut Record),
    ) -> Result<Record, UpdateError> {
        let dir = self.sandbox(id);
        let _lock = dir.lock_edit()?;
        let before = self.load(id)?;
        if before.generation != generation {
            let (expected, found) = (generation, before.generation);
            return Err(UpdateError::Stale { name: before.name, expected, found });
        }
        let mut record = before.clone();
        change(&mut record);
        if record.desired != before.desired {
            record.generation += 1;
        }
        if record != before {
            file::write(&dir.record(), &record)?;
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        model::progress::{Obstacle, Obstructed},
        store::sandbox::tests::{new, store},
    };

    #[test]
    fn what_is_true_besides_moves_no_plan_and_survives_what_does() {
        let (_dir, store) = store();
        let made = store.create(new("dev", "/src/web")).unwrap();
        let first = store.suspend(&made.id, Some("2026-01-02T00:00:00Z")).unwrap();
        let again = store.suspend(&made.id, Some("2026-01-03T00:00:00Z")).unwrap();
        assert_eq!(again.suspended_since.as_deref(), Some("2026-01-02T00:00:00Z"), "the first time stays");
        assert_eq!((&first, first.generation), (&again, made.generation), "a plan is not stale by it");
        let busy = Obstructed { by: Obstacle::Busy, message: "a restart waits".to_owned() };
        store.obstruct(&made.id, Some(busy.clone())).unwrap();
        let mut desired = made.desired.clone();
        desired.resources.cpus += 1;
        let moved = store.update(&made.id, made.generation, desired).unwrap();
        assert_eq!((moved.suspended_since.is_some(), moved.obstructed), (true, Some(busy)));
        store.obstruct(&made.id, None).unwrap();
        let free = store.suspend(&made.id, None).unwrap();
        assert_eq!((free.suspended_since, free.obstructed, free.generation), (None, None, 2));
    }
}
