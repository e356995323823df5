//! Records of sandboxes: how they come, change and go.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::model::{
    desired::Sandbox,
    name::{Name, SandboxId},
    progress::{Obstructed, Unfinished},
    status::{Phase, SandboxStatus},
};

use super::{
    file::{self, Gate, Step, StoreError, Versioned, open_gate},
    lock::Lock,
    owner::Owner,
    state::{SandboxDir, Store},
};

const NEW: &str = ".new-";
const TRASH: &str = ".trash-";

/// A sandbox that this host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its identity on this host; never used again.
    pub id: SandboxId,
    /// Its name, unique for its owner.
    pub name: Name,
    /// Whose it is.
    pub owner: Owner,
    /// Counts up with every change of `desired`, from 1.
    pub generation: u64,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// What it shall be.
    pub desired: Sandbox,
    /// What is still to be done before it is that; none when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
    /// Since when its document is gone, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphaned_since: Option<String>,
    /// Since when a person has taken it out of reconciling, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_since: Option<String>,
    /// What kept the last pass from making it what its file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstructed: Option<Obstructed>,
}

impl Versioned for Record {
    const VERSION: u16 = 1;
    const MAX: u64 = 16 << 20;
    const MEND: &'static str = "put it right, or remove its sandbox by the id";
}

impl Record {
    /// What can be said of it in a phase before anything has been observed.
    #[must_use]
    pub fn status(&self, phase: Phase) -> SandboxStatus {
        let desired = &self.desired;
        SandboxStatus {
            agent: desired.agent.kit.clone(),
            workspace: desired.workspace.as_ref().map(|workspace| workspace.path.display().to_string()),
            file: desired.provenance.file.as_ref().map(|file| file.display().to_string()),
            commit: desired.provenance.commit.clone(),
            ..SandboxStatus::new(self.name.to_string(), self.id.to_string(), phase)
        }
    }
}

/// What a record is made of.
#[derive(Debug, Clone)]
pub struct NewSandbox {
    /// Its name.
    pub name: Name,
    /// Whose it is.
    pub owner: Owner,
    /// When, RFC 3339.
    pub created_at: String,
    /// What it shall be.
    pub desired: Sandbox,
}

/// Every sandbox of this user.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that could be read, by name and owner.
    pub records: Vec<Record>,
    /// The others.
    pub unreadable: Vec<Unreadable>,
}

/// A sandbox whose record cannot be read. Its machine may run.
#[derive(Debug)]
pub struct Unreadable {
    /// Its identity.
    pub id: SandboxId,
    /// Its name, where its keeper noted one.
    pub name: Option<Name>,
    /// Why.
    pub error: StoreError,
}

impl Unreadable {
    /// Whether it may be the sandbox of this name.
    #[must_use]
    pub fn may_be(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|own| own.as_str() == name)
    }
}

/// Why no record was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is taken.
    #[error("{} has a sandbox `{}` already (id {})", .0.owner, .0.name, .0.id)]
    Exists(Box<Record>),
    /// The kernel gave no random number.
    #[error("the kernel gave no random number: {0}")]
    Random(getrandom::Error),
    /// The state directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a sandbox was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Its keeper lives.
    #[error("sandbox {0} still runs; stop it first")]
    Alive(SandboxId),
    /// The state directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes a sandbox's record and folder, both or neither.
    ///
    /// # Errors
    /// [`CreateError::Exists`] when its owner has one of that name.
    pub fn create(&self, new: NewSandbox) -> Result<Record, CreateError> {
        self.create_with(new, &mut open_gate)
    }

    fn create_with(&self, new: NewSandbox, gate: &mut Gate<'_>) -> Result<Record, CreateError> {
        let _lock = self.lock()?;
        self.sweep();
        let listing = self.list()?;
        // An unreadable record may have the name.
        if let Some(it) = listing.unreadable.into_iter().find(|it| it.may_be(new.name.as_str())) {
            return Err(it.error.into());
        }
        let same = |record: &Record| record.name == new.name && record.owner == new.owner;
        if let Some(record) = listing.records.into_iter().find(same) {
            return Err(CreateError::Exists(Box::new(record)));
        }
        let NewSandbox { name, owner, created_at, desired } = new;
        let record = Record {
            id: random_id()?,
            name,
            owner,
            generation: 1,
            created_at,
            desired,
            unfinished: Some(Unfinished::Disks),
            orphaned_since: None,
            suspended_since: None,
            obstructed: None,
        };
        let (beside, place) =
            (self.sandboxes().join(format!("{NEW}{}", record.id)), self.sandbox(&record.id));
        file::make_folder(&beside)?;
        gate(Step::Folder).map_err(StoreError::io("make", &beside))?;
        file::replace_with(&beside.join("record.json"), &file::encode(&record), gate)?;
        self.move_entry(&beside, place.path(), gate)?;
        Ok(record)
    }

    /// Every sandbox of this user.
    ///
    /// # Errors
    /// When the folder of sandboxes cannot be read.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let folder = self.sandboxes();
        let mut listing = Listing::default();
        for entry in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
            let name = entry.map_err(StoreError::io("read", &folder))?.file_name();
            let id = name.into_string().ok().and_then(|name| SandboxId::try_from(name).ok());
            let Some(id) = id else { continue };
            match self.load(&id) {
                Ok(record) => listing.records.push(record),
                // Removed since it was listed.
                Err(StoreError::Gone(_)) => {}
                Err(error) => {
                    let name = self.noted_name(&id);
                    listing.unreadable.push(Unreadable { id, name, error });
                }
            }
        }
        listing.unreadable.sort_by(|a, b| a.id.cmp(&b.id));
        listing
            .records
            .sort_by(|a, b| (&a.name, a.owner.place(), &a.id).cmp(&(&b.name, b.owner.place(), &b.id)));
        Ok(listing)
    }

    /// One sandbox.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when there is none.
    pub fn load(&self, id: &SandboxId) -> Result<Record, StoreError> {
        let dir = self.sandbox(id);
        let path = dir.record();
        let Some(record) = file::read::<Record>(&path)? else {
            // Folders come and go with their records in them.
            dir.there()?;
            return Err(StoreError::damaged(&path, "it is not there").mended_by(Record::MEND));
        };
        if record.id == *id {
            Ok(record)
        } else {
            Err(StoreError::damaged(&path, "it holds another id").mended_by(Record::MEND))
        }
    }

    /// Removes a sandbox and its disks; its audit trail is kept, see [`Store::removed_trails`]. What else belongs to it
    /// (sockets, processes) has to be gone before.
    ///
    /// # Errors
    /// [`RemoveError::Alive`] while its keeper lives.
    pub fn remove(&self, id: &SandboxId) -> Result<(), RemoveError> {
        self.remove_with(id, &mut open_gate)
    }

    fn remove_with(&self, id: &SandboxId, gate: &mut Gate<'_>) -> Result<(), RemoveError> {
        let (dir, trash) = (self.sandbox(id), self.sandboxes().join(format!("{TRASH}{id}")));
        let life = dir.lock_life()?.ok_or_else(|| RemoveError::Alive(id.clone()))?;
        {
            let _lock = self.lock()?;
            let _edit = dir.lock_edit()?;
            self.keep_trail(id)?;
            self.move_entry(dir.path(), &trash, gate)?;
        }
        drop::<Lock>(life);
        match fs::remove_dir_all(&trash) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &trash)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// Moves a sandbox's trail to where it outlives the sandbox. Done before anything is removed: killed in between, the
    /// sandbox is there still, and begins a new trail.
    fn keep_trail(&self, id: &SandboxId) -> Result<(), StoreError> {
        let trail = self.sandbox(id).audit();
        if !trail.is_dir() {
            return Ok(());
        }
        let removed = self.removed_trails();
        file::make_folder(&removed)?;
        let name = match self.load(id) {
            Ok(record) => record.name.to_string(),
            Err(_) => self.noted_name(id).map_or_else(|| "damaged".to_owned(), |name| name.to_string()),
        };
        let mut kept = removed.join(format!("{name}-{id}"));
        for number in 2.. {
            if !kept.exists() {
                break;
            }
            kept = removed.join(format!("{name}-{id}.{number}"));
        }
        fs::rename(&trail, &kept).map_err(StoreError::io("move", &trail))?;
        file::sync_folder(&removed).map_err(StoreError::io("sync", &removed))
    }

    /// The name under which a sandbox's keeper saw it last.
    fn noted_name(&self, id: &SandboxId) -> Option<Name> {
        self.sandbox(id).read_status().ok().flatten()?.name.parse().ok()
    }

    /// Deletes what a killed creation or removal left. The caller holds the lock; what cannot be deleted now is
    /// tried again next time.
    fn sweep(&self) {
        for entry in fs::read_dir(self.sandboxes()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(NEW) || name.starts_with(TRASH)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn move_entry(&self, from: &Path, to: &Path, gate: &mut Gate<'_>) -> Result<(), StoreError> {
        let moved = (|| {
            fs::rename(from, to)?;
            gate(Step::Rename)?;
            file::sync_folder(&self.sandboxes())?;
            gate(Step::SyncFolder)
        })();
        moved.map_err(StoreError::io("move", from))
    }
}

impl SandboxDir {
    /// The identity of the sandbox.
    #[must_use]
    pub fn id(&self) -> &SandboxId {
        &self.id
    }
}

fn random_id() -> Result<SandboxId, CreateError> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(CreateError::Random)?;
    Ok(SandboxId::from_bytes(bytes))
}

#[cfg(test)]
#[path = "sandbox_tests.rs"]
pub(super) mod tests;
