//! The real [`Operations`](super::ops::Operations): this user, on this host. Composition root of the command's process: files are checked by
//! `kit`, the plan is made and executed by `reconcile`, records lie in `store`, machines boot from `template`'s cache.
//!
//! Read `documents` (what files say), `world` (what the reconciler may do), `machines`, `launch`, `root` (templates) and
//! `rules`.

mod account;
mod approval;
mod carry;
mod config;
mod damaged;
mod documents;
mod edit;
mod elsewhere;
mod facts;
mod hardware;
mod inbox;
mod kits;
mod launch;
mod machines;
mod operations;
mod ports;
mod renewal;
mod root;
mod rules;
mod sets;
mod status;
mod suspension;
mod trail;
mod trust;
mod typed;
mod unmade;
mod world;

pub(super) use self::documents::load_failure;
pub use self::{account::user_name, documents::problems};

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{account::Account, machines::state_failure};
use super::{
    failure::{Failure, Kind},
    ops::Progress,
};
use crate::{
    kit,
    model::{config::OperatorConfig, launch::PlacesConfig},
    policy::fs as floor,
    store::{Owner, Places, Store, file::read_own},
    template::{self, Boot, Cache, EnsureError},
    vmm::probe::KvmState,
};

/// How long a guest has to go down when its sandbox is removed: nothing on its disks is needed any more.
const REMOVE_GRACE: Duration = Duration::from_secs(2);
/// Largest file of certificates that the configuration names, in bytes.
const UPSTREAM_CA_MAX: u64 = 4 << 20;

/// The folder that the command runs in.
pub(super) fn working_folder() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::new(Kind::Failed, "no_folder", format!("the working directory is gone: {error}"))
    })
}

/// Kits that were fetched, for a command that needs nothing else of this host; where there is no cache, none.
pub(super) fn fetched_kits() -> kit::Elsewhere {
    let account = Account::of_this_process();
    let home =
        process_variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).unwrap_or(account.home);
    let places = Places::from_env(&process_variable, rustix::process::getuid().as_raw(), &home);
    let store = |places: Places| -> std::rc::Rc<dyn kit::KitStore> {
        std::rc::Rc::new(crate::remote::KitCache::below(&places.cache))
    };
    kit::Elsewhere { store: places.ok().map(store), ..kit::Elsewhere::default() }
}

fn process_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

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
    /// What hardware virtualisation is good for here, once it was looked at.
    kvm: OnceCell<KvmState>,
    /// Where this runs the machines of a template's build: what ends them with this command.
    lifeline: Option<root::Lifeline>,
    /// Whether there is a search path, on which the tools of packages may lie.
    has_tools: bool,
    /// Whether registries and kits are only what `sandbox.lock` pins.
    locked: Cell<bool>,
    /// Whether this command has said already that records cannot be read.
    warned: Cell<bool>,
    /// What this command fetched, each source once.
    fetched: RefCell<BTreeMap<kit::GitSource, kit::Pin>>,
    /// The same in words, for whoever typed the command; taken when it is said.
    told: RefCell<Vec<String>>,
}

impl Host {
    /// Reads environment, configuration and state.
    ///
    /// # Errors
    /// When one of them is wrong; the message says what and where.
    pub fn open() -> Result<Self, Failure> {
        Self::with(&process_variable, &working_folder()?)
    }

    /// As [`Host::open`], for a command that only reads files: state is neither made nor looked at.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub fn open_files() -> Result<Self, Failure> {
        Self::of_files(&process_variable, &working_folder()?)
    }

    /// As [`Host::open`], with an environment and a working directory of the caller's choice.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub fn with(env: &dyn Fn(&str) -> Option<OsString>, folder: &Path) -> Result<Self, Failure> {
        let mut host = Self::of_files(env, folder)?;
        host.store = Store::open(&host.places.state).map_err(state_failure)?;
        Ok(host)
    }

    /// As [`Host::open_files`], with an environment and a working directory of the caller's choice.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub fn of_files(env: &dyn Fn(&str) -> Option<OsString>, folder: &Path) -> Result<Self, Failure> {
        let account = Account::of_this_process();
        let home =
            env("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).unwrap_or(account.home.clone());
        let uid = rustix::process::getuid().as_raw();
        let places =
            Places::from_env(env, uid, &home).map_err(|error| Failure::usage("places", error.to_string()))?;
        let config = config::read_config(&places, &home)?;
        let standing = approval::Standing::of(&config, &places.config)?;
        let store = Store::unopened(&places.state);
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
            kvm: OnceCell::new(),
            lifeline: None,
            has_tools: env("PATH").is_some_and(|path| !path.is_empty()),
            locked: Cell::new(false),
            warned: Cell::new(false),
            fetched: RefCell::default(),
            told: RefCell::default(),
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
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        floor::Places::of(&self.homes, &self.places_config(), canonical)
    }

    fn upstream_ca(&self) -> Result<Vec<String>, Failure> {
        let read = |path: &PathBuf| {
            let bytes = read_own(path, UPSTREAM_CA_MAX);
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
            text.map_err(|error| {
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
