//! Sandboxes of this user: found, listed, made, stopped and removed.

use std::{fs, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, json};

use super::{Host, damaged::refusal, status::told};
use crate::{
    audit::verify,
    cli::{
        client::{self, Client},
        failure::{Failure, Kind},
        ops::{Documents, Found, Progress},
        output,
    },
    model::{
        desired::Sandbox,
        event::{Decision, Draft},
        launch::CONTROL_SOCKET,
        name::SandboxId,
        status::{Phase, SandboxStatus},
    },
    policy::fs as floor,
    store::{CreateError, FindError, NewSandbox, Owner, Record, RemoveError},
    template,
};

/// Size of the disk that holds what is installed on top of the template, in bytes. Sparse: it costs what is written.
pub(super) const SYSTEM_DISK: u64 = 20 << 30;

/// How long a keeper may take to end once its machine has.
const END_LIMIT: Duration = Duration::from_secs(30);

/// How long a keeper that is stopped by force has to do it by itself, which closes its trail in order.
const FORCE_PATIENCE: Duration = Duration::from_secs(3);

impl Host {
    /// The record that a reference names from here.
    pub(super) fn record(&self, reference: &str) -> Result<Record, Failure> {
        let records = self.records()?;
        let found = crate::store::find(&records, Some(&self.here), reference);
        // A name that is defined here never means another repository's sandbox: `rm dev` is for this one's.
        if found.as_ref().map_or(true, |record| record.owner != self.here)
            && Documents::is_defined(self, reference)
        {
            let not_made = || not_made(reference, found.ok());
            return Err(self.unreadable_of(reference).map_or_else(not_made, |it| refusal(&it)));
        }
        found.cloned().map_err(|error| match &error {
            FindError::None(_) => match self.unreadable_of(reference) {
                Some(unreadable) => refusal(&unreadable),
                None => Failure::new(Kind::NotFound, "sandbox_not_found", error.to_string()),
            },
            FindError::NotAName { .. } => Failure::new(Kind::Usage, "not_a_name", error.to_string()),
            FindError::Several { .. } => Failure::new(Kind::Usage, "several_sandboxes", error.to_string()),
        })
    }

    /// Every record that can be read. That there are others is said once.
    pub(super) fn records(&self) -> Result<Vec<Record>, Failure> {
        let listing = self.store.list().map_err(state_failure)?;
        self.warn_of(&listing.unreadable);
        Ok(listing.records)
    }

    pub(super) fn found(&self, record: &Record) -> Result<Found, Failure> {
        let dir = self.store.sandbox(&record.id);
        Ok(Found {
            id: record.id.to_string(),
            desired: record.desired.clone(),
            socket: self.socket(&record.id)?,
            console_log: dir.console_log(),
            setup_log: dir.setup_log(),
            audit: dir.audit(),
        })
    }

    /// The record behind a [`Found`].
    pub(super) fn record_of(&self, found: &Found) -> Result<Record, Failure> {
        let id = SandboxId::try_from(found.id.clone())
            .map_err(|error| Failure::new(Kind::Failed, "state", error.to_string()))?;
        self.store.load(&id).map_err(state_failure)
    }

    /// The control socket; a path where nobody listens when the sandbox never ran.
    pub(super) fn socket(&self, id: &SandboxId) -> Result<std::path::PathBuf, Failure> {
        let folder = self.store.sandbox(id).socket_folder().map_err(state_failure)?;
        Ok(folder.unwrap_or_else(|| self.places.runtime.join(id.as_str())).join(CONTROL_SOCKET))
    }

    /// Makes a sandbox's record: asks the policy, and builds what it will boot from. Its disks are still to be made.
    pub(super) fn create_record(
        &self,
        wanted: &Sandbox,
        owner: &Owner,
        on: &dyn Progress,
    ) -> Result<Record, Failure> {
        self.judge(wanted)?;
        self.judge_memory(wanted)?;
        let stack = self.ensure_stack(wanted, None, on)?;
        on.step("making disks", None, "");
        let new = NewSandbox {
            name: wanted.name.clone(),
            owner: owner.clone(),
            created_at: Timestamp::now().to_string(),
            desired: wanted.clone(),
        };
        let record = self.store.create(new).map_err(|error| match error {
            CreateError::Exists(_) => Failure::new(Kind::Failed, "sandbox_exists", error.to_string()),
            CreateError::Store(error) => state_failure(error),
            other @ CreateError::Random(_) => Failure::from_error(Kind::Failed, "state", &other),
        })?;
        self.store.sandbox(&record.id).write_stack(&stack).map_err(state_failure)?;
        Ok(record)
    }

    /// Makes the disks that a sandbox lacks. One that is there stays: it may hold work.
    pub(super) fn make_disks(&self, record: &Record) -> Result<(), Failure> {
        let dir = self.store.sandbox(&record.id);
        let data = record.desired.resources.disk.0;
        for (path, size, label) in
            [(dir.system_disk(), SYSTEM_DISK, "system"), (dir.data_disk(), data, "data")]
        {
            make_disk(&path, size, label)?;
        }
        Ok(())
    }

    /// Asks the floor for every folder; a denial is an event and exit code 4.
    pub(super) fn judge(&self, wanted: &Sandbox) -> Result<(), Failure> {
        let workspace = wanted.workspace.iter().map(|workspace| (&workspace.path, &workspace.origin));
        let mounts = wanted.mounts.iter().map(|mount| (&mount.source, &mount.origin));
        for (path, origin) in workspace.chain(mounts) {
            let canonical = path.canonicalize().map_err(|error| {
                Failure::new(Kind::File, "no_such_folder", format!("{}: {error}", path.display()))
            })?;
            let places = self.floor_places();
            // The path as it is written counts too: what it leads to can change.
            let verdict = floor::mount(&canonical, &places).and_then(|()| floor::mount(path, &places));
            let Err(denied) = verdict else { continue };
            self.note_denied_mount(wanted, path, &denied)?;
            let failure = Failure::new(
                Kind::Denied,
                "mount_denied",
                format!("sandbox {}: {denied}", wanted.name),
            )
            .hint(
                "share a folder that holds no credentials, or give the secret by reference under `secrets:`",
            );
            return Err(match &origin.file {
                Some(file) => failure.at(file, origin.line, None),
                None => failure,
            });
        }
        Ok(())
    }

    fn note_denied_mount(
        &self,
        wanted: &Sandbox,
        path: &std::path::Path,
        denied: &floor::MountDenied,
    ) -> Result<(), Failure> {
        let draft = Draft {
            time: Timestamp::now().to_string(),
            action: "fs.mount".to_owned(),
            resource: path.display().to_string(),
            decision: Decision::Deny,
            rule: Some(denied.rule.clone()),
            reason: denied.rule.id.clone(),
            detail: Map::from_iter([("sandbox".to_owned(), wanted.name.to_string().into())]),
        };
        self.note(draft, Some(wanted))
    }

    /// Promised memory may not exceed nine tenths of the host's.
    fn judge_memory(&self, wanted: &Sandbox) -> Result<(), Failure> {
        let Some(total) = host_memory() else { return Ok(()) };
        let mut promised = wanted.resources.memory.0;
        let records = self.records()?;
        for (record, status) in records.iter().zip(self.statuses_of(&records)?) {
            if matches!(status.phase, Phase::Starting | Phase::Running) {
                promised = promised.saturating_add(record.desired.resources.memory.0);
            }
        }
        let limit = total / 10 * 9;
        if promised <= limit {
            return Ok(());
        }
        let mib = |bytes: u64| bytes >> 20;
        Err(Failure::new(
            Kind::HostLacks,
            "memory",
            format!(
                "{} MiB would be promised to sandboxes, and this host may give {} MiB",
                mib(promised),
                mib(limit)
            ),
        )
        .hint("write a smaller resources.memory, or stop another sandbox"))
    }

    /// Stops a sandbox and gives where it stands then.
    pub(super) fn stop_record(&self, record: &Record, grace: Duration) -> Result<SandboxStatus, Failure> {
        let client = Client::new(self.socket(&record.id)?);
        match client::block_on(async { Ok(client.stop(grace).await) })? {
            Ok(status) => {
                self.await_end(&record.id, record.name.as_str())?;
                Ok(status)
            }
            // Not running, or the keeper ended before its answer had left.
            Err(_) => {
                self.await_end(&record.id, record.name.as_str())?;
                Ok(self.last_status(record))
            }
        }
    }

    /// Stops a sandbox whose keeper may hang: asks it for a moment, then kills it.
    pub(super) fn stop_by_force(&self, record: &Record) -> Result<SandboxStatus, Failure> {
        self.end_by_force(&record.id, record.name.as_str())?;
        Ok(self.last_status(record))
    }

    /// Ends the keeper of a sandbox that is called `name`.
    pub(super) fn end_by_force(&self, id: &SandboxId, name: &str) -> Result<(), Failure> {
        let client = Client::new(self.socket(id)?);
        let asked = async { Ok(tokio::time::timeout(FORCE_PATIENCE, client.stop(Duration::ZERO)).await) };
        if client::block_on(asked)?.is_err() {
            client::block_on(async { Ok(client.kill().await) })??;
        }
        self.await_end(id, name)
    }

    /// Waits until no keeper holds the sandbox.
    fn await_end(&self, id: &SandboxId, name: &str) -> Result<(), Failure> {
        let dir = self.store.sandbox(id);
        let (tell, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(dir.await_end()));
        match ended.recv_timeout(END_LIMIT) {
            Ok(ended) => ended.map_err(state_failure),
            Err(_) => {
                let message = format!("the keeper of sandbox {name} does not end");
                Err(Failure::new(Kind::TimedOut, "stop", message)
                    .hint(format!("`cofferdam stop {name} --force` kills it")))
            }
        }
    }

    /// Removes a sandbox that is down. Its trail is kept, and where it ends is noted in the host's.
    pub(super) fn remove_record(&self, record: &Record) -> Result<(), Failure> {
        let dir = self.store.sandbox(&record.id);
        if dir.lock_life().map_err(state_failure)?.is_none() {
            return Err(remove_failure(RemoveError::Alive(record.id.clone())));
        }
        let head = verify::directory(&dir.audit(), None).map(|report| report.head).ok();
        dir.remove_sockets().map_err(state_failure)?;
        self.store.remove(&record.id).map_err(remove_failure)?;
        match self.store.approvals(&record.owner) {
            Ok(_) => self.forget_typed(&record.owner, record.name.as_str())?,
            // Nothing of a file that cannot be read counts as approved.
            Err(error) => output::warn(&format!("warning: {}", told(&error))),
        }
        let draft = Draft {
            time: Timestamp::now().to_string(),
            action: "sandbox.remove".to_owned(),
            resource: record.name.to_string(),
            decision: Decision::Allow,
            rule: None,
            reason: "removed".to_owned(),
            detail: Map::from_iter([
                ("id".to_owned(), json!(record.id)),
                ("trail_head".to_owned(), json!(head)),
            ]),
        };
        self.note(draft, Some(&record.desired))
    }
}

fn make_disk(path: &std::path::Path, size: u64, label: &str) -> Result<(), Failure> {
    match template::create_disk(&template::Host::this(), path, size, label) {
        Ok(()) | Err(template::disk::DiskError::Exists { .. }) => Ok(()),
        Err(error) => {
            Err(Failure::new(Kind::Failed, "disk", "cannot make the sandbox's disks").caused_by(&error))
        }
    }
}

/// The host's memory in bytes.
pub(super) fn host_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

pub(super) fn state_failure(error: crate::store::StoreError) -> Failure {
    Failure::from_error(Kind::Failed, "state", &error)
}

pub(super) fn remove_failure(error: RemoveError) -> Failure {
    let kind = if matches!(error, RemoveError::Alive(_)) { Kind::Usage } else { Kind::Failed };
    Failure::new(kind, "remove", error.to_string())
}

/// A name that the files here define, and whose sandbox is not made.
fn not_made(name: &str, elsewhere: Option<&Record>) -> Failure {
    let message = format!("`{name}` is defined here and not made yet");
    let other =
        elsewhere.map(|record| format!("; the one of another folder is {}/{}", record.owner, record.name));
    Failure::new(Kind::NotFound, "sandbox_not_made", message)
        .hint(format!("`cofferdam apply` or `cofferdam run {name}` makes it{}", other.unwrap_or_default()))
}
