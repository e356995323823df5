//! What the keeper writes: the table of names, the status, and (in [`super::trail`]) the audit trail. It owns the
//! sandbox's folder while the keeper lives.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use jiff::Timestamp;
use tokio::{net::UnixListener, sync::Notify};

use super::{
    output::{BoundedFile, Log},
    trail::open_trail,
    upstream,
};
use crate::{
    audit::{chain::Context, trail::Trail},
    model::{
        api::{PolicyRevision, Upstream},
        desired::Port,
        event::{EventProvenance, EventSandbox},
        launch::{CONTROL_SOCKET, KeeperConfig},
        parked::ParkedRule,
        status::{Phase, SandboxStatus},
    },
    plan::grant,
    policy::{fs as floor, layers},
    secret,
    store::{Lock, NameTable, Record, SandboxDir, Scope, Store},
};

/// Most files of the floor that are looked at for further links.
const FLOOR_FILES_MAX: usize = 4096;
/// Network that synthetic addresses are handed out from (RFC 2544: benchmarks, never routed).
const SYNTHETIC: &str = "198.18.0.0/15";

/// The keeper's books.
pub(super) struct Book {
    pub(super) config: KeeperConfig,
    store: Store,
    pub(super) dir: SandboxDir,
    pub(super) record: Record,
    sockets: PathBuf,
    life: Lock,
    pub(super) trail: RefCell<Trail>,
    pub(super) context: RefCell<Context>,
    names: RefCell<NameTable>,
    log: Rc<Log>,
    pub(super) written: Notify,
}

impl Book {
    /// Opens the sandbox's folder, alone.
    pub(super) fn open(config: &KeeperConfig) -> io::Result<Self> {
        let store = Store::open(&config.places.state).map_err(io::Error::other)?;
        let dir = store.sandbox(&config.id);
        let record = store.load(&config.id).map_err(io::Error::other)?;
        let life = dir.lock_life().map_err(io::Error::other)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::AlreadyExists, "another keeper of this sandbox lives")
        })?;
        let sockets = dir.make_sockets(&config.places.runtime).map_err(io::Error::other)?;
        let context = context(config, &record);
        let trail = open_trail(&dir.audit(), &context).map_err(io::Error::other)?;
        let names = NameTable::open(&dir.names()).map_err(io::Error::other)?;
        let log = Rc::new(Log::new(BoundedFile::create(&dir.path().join("zones.log"))?));
        Ok(Self {
            config: config.clone(),
            store,
            dir,
            record,
            sockets,
            life,
            trail: RefCell::new(trail),
            context: RefCell::new(context),
            names: RefCell::new(names),
            log,
            written: Notify::new(),
        })
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn log(&self) -> Rc<Log> {
        Rc::clone(&self.log)
    }

    /// Keeps a line for people who look for what went wrong.
    pub(super) fn complain(&self, line: &str) {
        self.log.line("keeper", line);
    }

    pub(super) fn missing_layers(&self) -> Vec<String> {
        // Not built yet, and said so rather than left out.
        let mut missing =
            vec!["mount and pid namespaces".to_owned(), "a control group of its own".to_owned()];
        missing.extend(self.log.missing());
        missing
    }

    /// Whether the operator wants no sandbox without every layer.
    pub(super) fn demands_full_jail(&self) -> bool {
        self.config.jail_full
    }

    pub(super) fn console_path(&self) -> PathBuf {
        self.dir.console_log()
    }

    pub(super) fn setup_log(&self) -> PathBuf {
        self.dir.setup_log()
    }

    pub(super) fn system_disk(&self) -> PathBuf {
        self.dir.system_disk()
    }

    pub(super) fn data_disk(&self) -> PathBuf {
        self.dir.data_disk()
    }

    /// Path for a device's socket, for the moment in which its two ends are made.
    pub(super) fn device_socket(&self) -> PathBuf {
        self.sockets.join("device")
    }

    /// Begins to listen for commands.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind(self.sockets.join(CONTROL_SOCKET))
    }

    /// The effective policy as it stands in the files now.
    pub(super) fn policy(&self, revision: u64) -> io::Result<PolicyRevision> {
        // The definition may have been changed since the sandbox was started.
        let record = self.store.load(&self.config.id).map_err(io::Error::other)?;
        let scopes = [Scope::User, Scope::Owner(&record.owner), Scope::Sandbox(&record.id)];
        let added = self.store.added(scopes).map_err(io::Error::other)?;
        let desired = &record.desired;
        let file = desired.provenance.file.as_ref().map(|file| file.display().to_string());
        let policy = layers::compose(revision, &desired.network, file, added.preset, added.rules);
        let policy = layers::parking(policy, self.parked(&record));
        // A machine for a build step has no agent: all that it runs comes before one.
        Ok(layers::at(layers::staged(policy, self.config.throwaway), Timestamp::now()))
    }

    /// What stands in the document and is not in force. These are words for denials: where they cannot be read, the
    /// policy holds without them.
    fn parked(&self, record: &Record) -> Vec<ParkedRule> {
        let known = self.store.approvals(&record.owner);
        let known = known.inspect_err(|error| self.complain(&format!("what waits: {error}")));
        let definition = known.ok().and_then(|mut known| known.definitions.remove(record.name.as_str()));
        let Some(definition) = definition else { return Vec::new() };
        let Some(wanted) = definition.wanted.as_deref() else { return Vec::new() };
        let rejected = definition.rejected.iter().map(|rejection| rejection.grant.as_str());
        grant::parked(wanted, &record.desired, rejected, Timestamp::now())
    }

    /// The ports to publish as they stand in the files now.
    pub(super) fn ports(&self) -> io::Result<Vec<Port>> {
        let record = self.store.load(&self.config.id).map_err(io::Error::other)?;
        let commands = self.store.ports(&self.config.id).map_err(io::Error::other)?;
        Ok(commands.over(&record.desired.ports))
    }

    /// From now on, events and status name this policy, and the files as they were recorded last.
    pub(super) fn policy_applied(&self, policy: &PolicyRevision, status: &mut SandboxStatus) {
        let provenance = match self.store.load(&self.config.id) {
            Ok(record) => record.desired.provenance,
            Err(error) => {
                self.complain(&format!("the record: {error}"));
                self.record.desired.provenance.clone()
            }
        };
        let events = &mut self.context.borrow_mut().provenance;
        status.file = provenance.file.map(|file| file.display().to_string());
        status.commit.clone_from(&provenance.commit);
        status.policy_hash = Some(policy.hash.clone());
        events.commit = provenance.commit;
        events.file_digest = provenance.file_digest;
        events.policy_hash = Some(policy.hash.clone());
    }

    pub(super) fn upstream(&self) -> io::Result<Upstream> {
        upstream::read(&self.config)
    }

    pub(super) fn synthetic(&self) -> ipnet::Ipv4Net {
        SYNTHETIC.parse().expect("the constant is a network")
    }

    pub(super) fn names(&self) -> Vec<(String, IpAddr)> {
        self.names.borrow().bindings().map(|(name, address)| (name.to_owned(), address)).collect()
    }

    /// Writes a binding, for the sandbox's life.
    pub(super) fn bind(&self, name: String, address: IpAddr) -> io::Result<()> {
        self.names.borrow_mut().bind(&name, address).map_err(io::Error::other)
    }

    /// What stands for each secret; made at the first start, and anew where its form was changed since.
    pub(super) fn placeholders(&self) -> io::Result<BTreeMap<String, String>> {
        let mut known = self.dir.placeholders().map_err(io::Error::other)?;
        let before = known.clone();
        for binding in &self.record.desired.secrets {
            let fits = |known: &String| secret::placeholder::fits(&binding.placeholder, known);
            if !known.get(&binding.name).is_some_and(fits) {
                let placeholder = secret::generate(&binding.placeholder).map_err(io::Error::other)?;
                known.insert(binding.name.clone(), placeholder);
            }
        }
        if known != before {
            self.dir.write_placeholders(known.clone(), &self.life).map_err(io::Error::other)?;
        }
        Ok(known)
    }

    /// Asks the floor again: what a path means may have changed since the sandbox was made.
    pub(super) fn judge_folder(&self, path: &Path) -> io::Result<()> {
        floor::mount(path, &self.floor_places())
            .map_err(|denied| io::Error::new(io::ErrorKind::PermissionDenied, denied))
    }

    /// Files of the floor that have further names elsewhere, by device and inode. Its folders cannot lie in a shared
    /// folder: the policy has refused that one.
    pub(super) fn hidden(&self) -> Vec<(u64, u64)> {
        let places = self.floor_places();
        let mut hidden = Vec::new();
        let mut folders: Vec<PathBuf> = floor::floor(&places).map(|(_, path, _)| path).collect();
        let home_part =
            |path: &PathBuf| places.homes.iter().chain(&places.own).any(|home| path.starts_with(home));
        folders.retain(home_part);
        let mut files = 0;
        while let Some(path) = folders.pop() {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if !meta.is_dir() && meta.nlink() > 1 {
                hidden.push((meta.dev(), meta.ino()));
            }
            files += 1;
            if meta.is_dir() && files < FLOOR_FILES_MAX {
                folders.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            }
        }
        hidden
    }

    fn floor_places(&self) -> floor::Places {
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        floor::Places::of(&self.config.homes, &self.config.places, canonical)
    }

    pub(super) fn first_status(&self) -> SandboxStatus {
        let mut status = self.record.status(Phase::Starting);
        // What became of its last task outlives the machine that it ran in.
        let before = self.dir.read_status().ok().flatten();
        status.task = before.and_then(|before| before.task);
        status.interrupt(&Timestamp::now().to_string());
        status
    }

    /// Notes the status for commands that come when the keeper is gone.
    pub(super) fn save_status(&self, status: &SandboxStatus) {
        if let Some(isolation) = status.isolation {
            self.context.borrow_mut().isolation = Some(isolation.to_string());
        }
        if let Err(error) = self.dir.write_status(status, &self.life) {
            self.complain(&format!("status: {error}"));
        }
    }
}

fn context(config: &KeeperConfig, record: &Record) -> Context {
    let desired = &record.desired;
    Context {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        user: config.user.clone(),
        org: None,
        sandbox: Some(EventSandbox {
            id: record.id.to_string(),
            name: record.name.to_string(),
            agent: desired.agent.kit.clone(),
        }),
        provenance: EventProvenance {
            commit: desired.provenance.commit.clone(),
            file_digest: desired.provenance.file_digest.clone(),
            policy_hash: None,
            approved_by: None,
        },
        isolation: None,
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
