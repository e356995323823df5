//! What the keeper writes: the audit trail, the table of names, the status. It owns the sandbox's folder while the
//! keeper lives.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use jiff::Timestamp;
use serde_json::{Map, json};
use tokio::{net::UnixListener, sync::Notify};

use super::{
    output::{BoundedFile, Log},
    upstream,
};
use crate::{
    audit::{
        TrailError,
        chain::Context,
        trail::{Limits, Trail},
    },
    lifecycle::Lifecycle,
    model::{
        api::{PolicyRevision, Upstream},
        desired::Port,
        event::{Decision, Draft, EventProvenance, EventSandbox},
        launch::{CONTROL_SOCKET, KeeperConfig},
        rule::NetworkRule,
        status::{Phase, PublishedPort, SandboxStatus},
    },
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
    config: KeeperConfig,
    store: Store,
    dir: SandboxDir,
    record: Record,
    sockets: PathBuf,
    life: Lock,
    trail: RefCell<Trail>,
    context: RefCell<Context>,
    names: RefCell<NameTable>,
    log: Rc<Log>,
    written: Notify,
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
        // A machine for a build step has no agent: all that it runs comes before one.
        Ok(layers::at(layers::staged(policy, self.config.throwaway), Timestamp::now()))
    }

    /// The ports to publish as they stand in the files now.
    pub(super) fn ports(&self) -> io::Result<Vec<Port>> {
        let record = self.store.load(&self.config.id).map_err(io::Error::other)?;
        let commands = self.store.ports(&self.config.id).map_err(io::Error::other)?;
        Ok(commands.over(&record.desired.ports))
    }

    /// Notes which ports were opened and which closed.
    pub(super) fn note_ports(&self, before: &[PublishedPort], after: &[PublishedPort]) {
        let opened = after.iter().filter(|port| !before.contains(port)).map(|port| ("published", port));
        let closed = before.iter().filter(|port| !after.contains(port)).map(|port| ("withdrawn", port));
        for (reason, port) in closed.chain(opened) {
            let resource = format!("{}:{} → {}", port.address, port.host, port.guest);
            self.note_about("port.publish", resource, reason, Map::new());
        }
    }

    /// Notes that a rule says nothing from now on.
    pub(super) fn note_ended(&self, rule: &NetworkRule) {
        let detail = Map::from_iter([
            ("rule".to_owned(), json!(rule.id)),
            ("effect".to_owned(), json!(rule.effect)),
            ("until".to_owned(), json!(rule.until)),
        ]);
        self.note_about("policy.change", rule.pattern(), "ended", detail);
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

    /// Writes a decision to the trail. It is outside egress when this returns, and on the disk within 100 ms.
    pub(super) fn record_event(&self, draft: Draft) -> io::Result<()> {
        let mut trail = self.trail.borrow_mut();
        trail.append(draft, &self.context.borrow(), Instant::now()).map_err(io::Error::other)?;
        if self.config.sync_each {
            trail.sync().map_err(io::Error::other)?;
        }
        drop(trail);
        self.written.notify_one();
        Ok(())
    }

    /// Brings the trail to the disk and seals its segments when that is due, for as long as the keeper lives.
    pub(super) async fn keep_synced(self: Rc<Self>) {
        loop {
            let due = {
                let trail = self.trail.borrow();
                [trail.sync_due(), trail.seal_due()].into_iter().flatten().min()
            };
            match due {
                Some(instant) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(instant.into()) => self.sync_now(),
                        () = self.written.notified() => {}
                    }
                }
                None => self.written.notified().await,
            }
        }
    }

    fn sync_now(&self) {
        let now = Instant::now();
        let mut trail = self.trail.borrow_mut();
        let seal = trail.seal_due().is_some_and(|due| due <= now);
        let done = if seal { trail.seal(now) } else { trail.sync().map(drop) };
        if let Err(error) = done {
            self.complain(&format!("audit: {error}"));
        }
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

    /// The guest has answered.
    pub(super) fn started(&self, status: &SandboxStatus) {
        let mut detail = Map::new();
        detail.insert("kernel".to_owned(), json!(status.kernel));
        detail.insert("boot_ms".to_owned(), json!(status.boot_ms));
        detail.insert("jail_missing".to_owned(), json!(self.missing_layers()));
        self.note("sandbox.start", "started", detail);
    }

    /// The sandbox is down: last words, and the end of the control socket.
    pub(super) fn close(&self, lifecycle: &Lifecycle) {
        let mut detail = Map::new();
        detail.insert("phase".to_owned(), json!(lifecycle.phase()));
        detail.insert("why".to_owned(), json!(lifecycle.reason()));
        self.note("sandbox.stop", "stopped", detail);
        let now = Instant::now();
        if let Err(error) = self.trail.borrow_mut().seal(now) {
            self.complain(&format!("audit: {error}"));
        }
        if let Err(error) = self.dir.remove_sockets() {
            self.complain(&format!("sockets: {error}"));
        }
    }

    pub(super) fn note(&self, action: &str, reason: &str, detail: Map<String, serde_json::Value>) {
        self.note_about(action, self.record.name.to_string(), reason, detail);
    }

    fn note_about(
        &self,
        action: &str,
        resource: String,
        reason: &str,
        detail: Map<String, serde_json::Value>,
    ) {
        let draft = Draft {
            time: Timestamp::now().to_string(),
            action: action.to_owned(),
            resource,
            decision: Decision::Allow,
            rule: None,
            reason: reason.to_owned(),
            detail,
        };
        if let Err(error) = self.record_event(draft) {
            self.complain(&format!("audit: {error}"));
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

/// A trail whose end is broken is moved aside and a new chain begins with an event that says so: refusing to start
/// would let whoever broke the file keep the sandbox down.
fn open_trail(dir: &Path, context: &Context) -> Result<Trail, TrailError> {
    match Trail::open(dir, Limits::default(), Instant::now()) {
        Ok((trail, _)) => Ok(trail),
        Err(error) if error.bad().is_some() => {
            Trail::recover(dir, Limits::default(), Timestamp::now().to_string(), context, Instant::now())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
