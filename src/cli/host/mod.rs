//! The real [`Operations`]: this user, on this host. Composition root of the command's process: files are checked by
//! `kit`, the plan is made and executed by `reconcile`, records lie in `store`, machines boot from `template`'s cache.
//!
//! Read `documents` (what files say), `world` (what the reconciler may do), `machines`, `launch`, `root` (templates) and
//! `rules`.

mod approval;
mod documents;
pub use documents::problems;
mod hardware;
mod kits;
mod launch;
mod machines;
mod planning;
mod ports;
mod renewal;
mod root;
mod rules;
mod sets;
mod world;

use std::{
    cell::Cell,
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use self::machines::state_failure;
use super::{
    demo,
    failure::{Failure, Kind},
    ops::{
        Answer, BuiltTemplate, Checked, CheckedKit, Comparison, Found, Inbox, KeptTemplate, LockUpdate,
        Operations, PortEdit, Progress, Proposal, RuleChange, RuleEdit, RuleScope, SecretListing, Source,
        Wish, WrittenKit,
    },
};
use crate::{
    audit::{
        chain::Context,
        trail::{Limits, Trail},
    },
    kit::{self, ConfigContext, Expansion, SchemaName},
    model::{
        api::PolicyRevision,
        config::OperatorConfig,
        desired::{Preset, Sandbox},
        event::{Draft, EventProvenance, EventSandbox},
        launch::PlacesConfig,
        name::Name,
        rule::Effect,
        secret::SecretSource,
        status::{PublishedPort, SandboxStatus},
    },
    policy::fs as floor,
    store::{How, Owner, Places, Store, answers::Answers},
    template::{self, Boot, Cache, EnsureError, doctor::Hardware},
};

/// Longest operator configuration, in bytes.
const CONFIG_MAX: u64 = 1 << 20;

/// How long a guest has to go down when its sandbox is removed: nothing on its disks is needed any more.
const REMOVE_GRACE: Duration = Duration::from_secs(2);

/// This user, on this host.
pub struct Host {
    places: Places,
    store: Store,
    config: OperatorConfig,
    /// What the operator answered once for all.
    standing: approval::Standing,
    /// Whose sandboxes a bare name means first.
    here: Owner,
    folder: PathBuf,
    home: PathBuf,
    /// `$HOME` and the account's home: the floor follows both.
    homes: Vec<PathBuf>,
    user: String,
    /// Variables of this process that hold a key of a built-in service.
    keys: BTreeSet<String>,
    /// Where this runs the machines of a template's build: what ends them with this command.
    lifeline: Option<root::Lifeline>,
    /// Whether registries and kits are only what `sandbox.lock` pins.
    locked: Cell<bool>,
}

impl Host {
    /// Reads environment, configuration and state.
    ///
    /// # Errors
    /// When one of them is wrong; the message says what and where.
    pub fn open() -> Result<Self, Failure> {
        let env = |name: &str| std::env::var_os(name);
        let folder = std::env::current_dir().map_err(|error| {
            Failure::new(Kind::Failed, "no_folder", format!("the working directory is gone: {error}"))
        })?;
        Self::with(&env, &folder)
    }

    /// As [`Host::open`], with an environment and a working directory of the caller's choice.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub fn with(env: &dyn Fn(&str) -> Option<OsString>, folder: &Path) -> Result<Self, Failure> {
        let account = Account::of_this_process();
        let home =
            env("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).unwrap_or(account.home.clone());
        let uid = rustix::process::getuid().as_raw();
        let places =
            Places::from_env(env, uid, &home).map_err(|error| Failure::usage("places", error.to_string()))?;
        let config = read_config(&places, &home)?;
        let standing = approval::Standing::of(&config, &places.config)?;
        let store = Store::open(&places.state).map_err(state_failure)?;
        let here = Owner::discover(folder).map_err(|error| {
            Failure::new(Kind::Failed, "no_folder", format!("{}: {error}", folder.display()))
        })?;
        let mut homes = vec![home.clone(), account.home];
        homes.extend(homes.clone().iter().filter_map(|home| home.canonicalize().ok()));
        homes.sort();
        homes.dedup();
        let mut keys = kit::service_variables();
        keys.retain(|variable| env(variable).is_some_and(|value| !value.is_empty()));
        Ok(Self {
            places,
            store,
            config,
            standing,
            here,
            folder: folder.to_owned(),
            home,
            homes,
            user: account.name,
            keys,
            lifeline: None,
            locked: Cell::new(false),
        })
    }

    fn places_config(&self) -> PlacesConfig {
        PlacesConfig {
            config: self.places.config.clone(),
            state: self.places.state.clone(),
            cache: self.places.cache.clone(),
            runtime: self.places.runtime.clone(),
        }
    }

    fn floor_places(&self) -> floor::Places {
        let config = self.places.config.parent().unwrap_or(&self.places.config);
        let own = [config, &self.places.state, &self.places.cache, &self.places.runtime];
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        floor::Places { homes: self.homes.clone(), own: own.into_iter().map(canonical).collect() }
    }

    fn upstream_ca(&self) -> Result<Vec<String>, Failure> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|error| {
                Failure::new(
                    Kind::File,
                    "upstream_ca",
                    format!("egress.upstreamCa: {}: {error}", path.display()),
                )
                .at(&self.places.config, None, None)
            })
        };
        self.config.egress.upstream_ca.iter().map(read).collect()
    }

    /// Writes to the host's own trail: what happens outside a running sandbox.
    fn note(&self, draft: Draft, about: Option<&Sandbox>) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::new(Kind::Failed, "audit", format!("the audit trail does not take the event: {error}"))
        };
        let provenance = about.map(|sandbox| EventProvenance {
            commit: sandbox.provenance.commit.clone(),
            file_digest: sandbox.provenance.file_digest.clone(),
            policy_hash: None,
            approved_by: None,
        });
        let context = Context {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            user: self.user.clone(),
            org: None,
            sandbox: about.map(|sandbox| EventSandbox {
                id: String::new(),
                name: sandbox.name.to_string(),
                agent: sandbox.agent.kit.clone(),
            }),
            provenance: provenance.unwrap_or_default(),
            isolation: None,
        };
        let dir = self.store.audit();
        let now = Instant::now();
        // Commands write one after the other; each holds the trail for a few milliseconds.
        let _turn = self.store.audit_turn().map_err(|error| failed(&error))?;
        let time = Timestamp::now().to_string();
        let mut trail = match Trail::open(&dir, Limits::default(), now) {
            Ok((trail, _)) => trail,
            Err(error) if error.bad().is_some() => {
                Trail::recover(&dir, Limits::default(), time, &context, now)
                    .map_err(|error| failed(&error))?
            }
            Err(error) => return Err(failed(&error)),
        };
        trail.append(draft, &context, now).map_err(|error| failed(&error))?;
        trail.sync().map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// Kernel and template in `cache`, built when they are missing.
///
/// # Errors
/// What the host lacks, or why a build failed.
pub fn ensure_boot_files(cache: &Path, on: &dyn Progress) -> Result<Boot, Failure> {
    let failure = |error: EnsureError| {
        let kind =
            if matches!(error, EnsureError::HostLacks { .. }) { Kind::HostLacks } else { Kind::Failed };
        Failure::from_error(kind, "template", &error).hint("cofferdam doctor --fix")
    };
    let cache = Cache::open(cache).map_err(failure)?;
    cache.ensure(&template::Host::this(), &|report: template::Report<'_>| show(on, report)).map_err(failure)
}

/// Shows what a build in the cache does.
fn show(on: &dyn Progress, report: template::Report<'_>) {
    match report {
        template::Report::Started(step) => on.step(step.title(), Some(0), ""),
        template::Report::Advanced(step, permille, now) => on.step(step.title(), Some(permille), now),
        template::Report::Finished(step) => on.step(step.title(), Some(1000), "done"),
    }
}

/// Name of the account that runs this process, whatever a variable says.
#[must_use]
pub fn user_name() -> String {
    Account::of_this_process().name
}

/// Who runs this process, by the account and not by a variable.
struct Account {
    name: String,
    home: PathBuf,
}

impl Account {
    fn of_this_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.len() == 7 && fields[2].parse() == Ok(uid));
        match entry {
            Some(fields) => Self { name: fields[0].to_owned(), home: PathBuf::from(fields[5]) },
            None => Self { name: format!("uid {uid}"), home: PathBuf::from("/") },
        }
    }
}

fn read_config(places: &Places, home: &Path) -> Result<OperatorConfig, Failure> {
    let path = &places.config;
    let unreadable = |error: io::Error| {
        Failure::new(Kind::File, "config", format!("cannot read the configuration: {error}"))
            .at(path, None, None)
    };
    let bytes = match fs::metadata(path) {
        Ok(meta) if meta.len() > CONFIG_MAX => {
            return Err(unreadable(io::Error::other("it is longer than 1 MiB")));
        }
        Ok(_) => fs::read(path).map_err(unreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if places.config_named {
                super::output::warn(&format!("{} is not there; defaults apply", path.display()));
            }
            return Ok(OperatorConfig::default());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let context = ConfigContext {
        name: path.display().to_string(),
        folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
        home: home.to_owned(),
    };
    kit::config(&bytes, &context).map_err(|error| documents::problems(error.0))
}

impl Operations for Host {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn check(&self, source: &Source) -> Result<Checked, Failure> {
        let loaded = self.load(source)?;
        Ok(Checked { sandboxes: loaded.sandboxes, warnings: loaded.warnings })
    }

    fn demand_locked(&self) {
        self.locked.set(true);
    }

    fn named_set(&self, kind: &str, name: &str, effect: Effect) -> Result<Expansion, Failure> {
        self.expand_set(kind, name, effect)
    }

    fn check_kit(&self, path: &Path) -> Result<CheckedKit, Failure> {
        self.checked_kit(path)
    }

    fn import_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.imported_kit(path, to)
    }

    fn pack_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.packed_kit(path, to)
    }

    fn update_lock(&self, source: &Source, write: bool) -> Result<LockUpdate, Failure> {
        self.renew_lock(source, write)
    }

    fn propose(&self, source: &Source, wish: &Wish) -> Result<Proposal, Failure> {
        self.propose_apply(source, wish)
    }

    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure> {
        self.approve_of(proposal, ids, how)
    }

    fn park(&self, proposal: &Proposal) -> Result<(), Failure> {
        self.remember(proposal, proposal.typed)
    }

    fn inboxes(&self, reference: Option<&str>) -> Result<Vec<Inbox>, Failure> {
        Self::inboxes(self, reference)
    }

    fn answer(
        &self,
        inbox: &Inbox,
        grants: &[String],
        answer: &Answer,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        self.answer_to(inbox, grants, answer, on)
    }

    fn compare(&self, source: &Source, reference: &str) -> Result<Comparison, Failure> {
        self.compared(source, reference)
    }

    fn propose_delete(&self, source: &Source) -> Result<Proposal, Failure> {
        self.propose_removal(source)
    }

    fn apply(
        &self,
        proposal: &Proposal,
        wish: &Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        self.carry_out(proposal, wish, on)
    }

    fn find(&self, reference: &str) -> Result<Found, Failure> {
        self.found(&self.record(reference)?)
    }

    fn list(&self, here: bool) -> Result<Vec<SandboxStatus>, Failure> {
        let records = self.records()?;
        records
            .iter()
            .filter(|record| !here || record.owner == self.here)
            .map(|record| self.status_of(record))
            .collect()
    }

    fn is_defined(&self, name: &str) -> bool {
        let loaded = self.load(&Source::Search);
        loaded.is_ok_and(|loaded| loaded.sandboxes.iter().any(|sandbox| sandbox.name.as_str() == name))
    }

    fn has_agent_kit(&self, name: &str) -> bool {
        // One of the repository's own, by name or path, is known by what comes of naming it.
        let named = || self.load(&Source::Text(kit::export::bare(name).to_string()));
        kit::has_agent(name) || named().is_ok()
    }

    fn start(&self, sandbox: &Found, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
        self.start_unfinished(&self.record_of(sandbox)?, on)
    }

    fn stop(&self, sandbox: &Found, grace: Duration, force: bool) -> Result<SandboxStatus, Failure> {
        let grace = if force { Duration::ZERO } else { grace };
        self.stop_record(&self.record_of(sandbox)?, grace)
    }

    fn remove(&self, sandbox: &Found) -> Result<(), Failure> {
        let record = self.record_of(sandbox)?;
        self.stop_record(&record, REMOVE_GRACE)?;
        self.remove_record(&record)
    }

    fn policy(&self, sandbox: Option<&Found>, preset: Option<Preset>) -> Result<PolicyRevision, Failure> {
        let mut record = sandbox.map(|found| self.record_of(found)).transpose()?;
        // The only sandbox here is the one that is meant.
        if record.is_none()
            && let Ok([only]) = <[_; 1]>::try_from(self.own_records()?)
        {
            record = Some(only);
        }
        self.effective(record.as_ref(), preset)
    }

    fn edit_rules(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure> {
        self.edit(scope, edit)
    }

    fn ports(&self, sandbox: &Found, edit: &PortEdit) -> Result<Vec<PublishedPort>, Failure> {
        self.edit_ports(&self.record_of(sandbox)?, edit)
    }

    fn trails(&self, sandbox: Option<&Found>) -> Result<Vec<PathBuf>, Failure> {
        match sandbox {
            Some(found) => Ok(vec![found.audit.clone()]),
            None => {
                let mut trails = vec![self.store.audit()];
                trails.extend(self.records()?.iter().map(|record| self.store.sandbox(&record.id).audit()));
                let removed = fs::read_dir(self.store.removed_trails()).into_iter().flatten().flatten();
                trails.extend(removed.map(|entry| entry.path()));
                trails.retain(|trail| trail.is_dir());
                Ok(trails)
            }
        }
    }

    fn answers(&self) -> Result<Answers, Failure> {
        self.store.answers(&self.here).map_err(state_failure)
    }

    fn remember(&self, answers: Answers) -> Result<(), Failure> {
        self.store.remember(&self.here, answers).map_err(state_failure)
    }

    fn has_key(&self, variable: &str) -> bool {
        self.keys.contains(variable)
    }

    fn secrets(&self) -> Result<Vec<SecretListing>, Failure> {
        let listing = |(name, source): (&String, &SecretSource)| {
            let (words, present) = describe(source, &self.home);
            SecretListing { name: name.clone(), source: words, present }
        };
        Ok(self.config.secret_sources.iter().map(listing).collect())
    }

    fn schemas(&self) -> Vec<(&'static str, String)> {
        SchemaName::ALL.iter().map(|name| (name.file_name(), kit::schema_text(*name))).collect()
    }

    fn cache(&self) -> &Path {
        &self.places.cache
    }

    fn prepare_cache(&self, on: &dyn Progress) -> Result<(), Failure> {
        ensure_boot_files(&self.places.cache, on).map(drop)
    }

    fn build_templates(
        &self,
        source: &Source,
        name: Option<&str>,
        yes: bool,
        on: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure> {
        self.build_templates_of(source, name, yes, on)
    }

    fn templates(&self) -> Result<Vec<KeptTemplate>, Failure> {
        self.kept_templates()
    }

    fn remove_templates(
        &self,
        keys: &[String],
        unused: bool,
        on: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure> {
        self.remove_kept(keys, unused, on)
    }

    fn hardware(&self) -> Hardware {
        self.hardware_found()
    }

    fn demo(&self, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure> {
        demo::play(&self.places.cache, name, on)
    }
}

/// A source in words, and whether there is a value as far as can be told without fetching it.
fn describe(source: &SecretSource, home: &Path) -> (String, bool) {
    match source {
        SecretSource::Env { env } => {
            let present = std::env::var_os(env).is_some_and(|value| !value.is_empty());
            (format!("variable {env}"), present)
        }
        SecretSource::File { file } => {
            let path = file.strip_prefix("~").map_or_else(|_| file.clone(), |rest| home.join(rest));
            (format!("file {}", file.display()), path.is_file())
        }
        SecretSource::Command { command } => (format!("command {}", command.join(" ")), true),
    }
}
