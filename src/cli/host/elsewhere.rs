//! Kits from elsewhere on this host: fetched where a command's user asked for it, kept, and told.
//!
//! `check`, `plan` and `apply` of files read what was kept and touch no network. What fetches: `update`, and a source that
//! stands on the command line itself.

use std::path::Path;

use super::{Host, documents};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::UpdateWish,
    },
    kit::{self, Elsewhere, GitSource, LoadError, Loaded, Lock, LockUse, Pin, Problem, Selection, Wanted},
    registry::Here,
    remote::{FetchError, Git, KitCache},
    review::History,
};

/// Most sources that one command fetches.
const SOURCES_MAX: usize = 50;

impl Host {
    pub(super) fn elsewhere(&self, typed: bool) -> Elsewhere {
        let store = std::rc::Rc::new(self.kit_cache());
        Elsewhere { store: Some(store), resolved: self.fetched.borrow().clone(), typed }
    }

    fn kit_cache(&self) -> KitCache {
        KitCache::below(&self.places.cache)
    }

    /// What was fetched since this was last asked, in words.
    pub(super) fn told(&self) -> Vec<String> {
        self.told.take()
    }

    /// Reads a document that the user typed; kits that it names elsewhere are fetched now.
    pub(super) fn load_typed(&self, selection: &Selection) -> Result<Loaded, Failure> {
        self.load_fetching(selection, self.lock_use(), true, &|source| self.fetch(source, None))
    }

    /// Reads files, and brings each source that they want once.
    fn load_fetching(
        &self,
        selection: &Selection,
        lock: LockUse,
        typed: bool,
        fetch: &dyn Fn(&GitSource) -> Result<Pin, Failure>,
    ) -> Result<Loaded, Failure> {
        loop {
            let mut context = self.kit_context(lock, self.elsewhere(typed));
            let problems = match self.load_with(selection, &mut context) {
                Err(LoadError::Invalid(problems)) => problems,
                other => return other.map_err(documents::load_failure),
            };
            let known = context.elsewhere.resolved;
            let new: Vec<GitSource> =
                wanted(&problems).into_iter().filter(|source| !known.contains_key(source)).collect();
            if new.is_empty() || known.len() + new.len() > SOURCES_MAX {
                return Err(documents::problems(problems));
            }
            for source in new {
                let pin = fetch(&source)?;
                self.fetched.borrow_mut().insert(source, pin);
            }
        }
    }

    /// Reads files for `update`: every source as it is now, or with `--locked` exactly as it is pinned.
    pub(super) fn load_for_update(
        &self,
        selection: &Selection,
        wish: &UpdateWish<'_>,
    ) -> Result<Loaded, Failure> {
        let old = kit::lock_beside(selection, &self.folder)
            .map_err(|error| documents::load_failure(LoadError::Discover(error)))?
            .unwrap_or_default();
        if self.locked.get() {
            return self
                .load_fetching(selection, LockUse::Only, false, &|source| self.fetch_pinned(source, &old));
        }
        self.consent(selection, &old, wish)?;
        self.load_fetching(selection, LockUse::Ignore, false, &|source| self.fetch(source, None))
    }

    /// A source that the lock file does not have yet is a stranger's word: the user says whether it is asked.
    fn consent(&self, selection: &Selection, old: &Lock, wish: &UpdateWish<'_>) -> Result<(), Failure> {
        let Err(LoadError::Invalid(problems)) = self.load_selection(selection, LockUse::Ignore) else {
            return Ok(());
        };
        let new = wanted(&problems).into_iter().filter(|source| !old.sources.contains_key(source));
        let mut new: Vec<String> = new.map(|source| source.to_string()).collect();
        new.sort();
        new.dedup();
        if new.is_empty() { Ok(()) } else { (wish.may_fetch)(&new) }
    }

    /// Fetches what a lock file pins, and nothing else.
    fn fetch_pinned(&self, source: &GitSource, lock: &Lock) -> Result<Pin, Failure> {
        let Some(pinned) = lock.sources.get(source) else {
            let message = format!("{} does not pin {source}", kit::LOCK_FILE);
            return Err(Failure::new(Kind::File, "not_pinned", message).hint("`cofferdam update` pins it"));
        };
        let pin = self.fetch(source, Some(&pinned.pin.commit))?;
        if pin.digest == pinned.pin.digest {
            return Ok(pin);
        }
        let message = format!(
            "{source}: commit {} is sha256:{}, and {} pins sha256:{}",
            pin.commit,
            pin.digest,
            kit::LOCK_FILE,
            pinned.pin.digest
        );
        Err(Failure::new(Kind::File, "pin_differs", message)
            .hint("somebody changed the lock file; look at its history, then `cofferdam update`"))
    }

    /// Fetches a source as it is now, or one commit of it, and keeps the kit's files.
    pub(super) fn fetch(&self, source: &GitSource, commit: Option<&str>) -> Result<Pin, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let repository = kit::Repository::find(&self.folder).ok().flatten();
        let inside = repository.map_or_else(|| self.folder.clone(), |repository| repository.root);
        let search = Here::search(&env("PATH").unwrap_or_default(), &inside);
        let egress = &self.config.egress;
        let git = Git { search, env: &env, resolve: &egress.resolve, authorities: &egress.upstream_ca };
        let cache = self.kit_cache();
        let fetched = git.fetch(source, commit, &cache).map_err(|error| not_fetched(&error))?;
        let unread = |error: &dyn std::error::Error| {
            Failure::new(Kind::File, "kit_source", format!("{source}: {error}"))
                .hint("a kit's folder holds regular files only, and a kit.yaml")
        };
        let history = History::open(fetched.repository.path()).map_err(|error| unread(&error))?;
        let id = history.commit(&fetched.id, 0).map_err(|error| unread(&error))?;
        let tree = history.files(&id, Path::new("")).map_err(|error| unread(&error))?;
        let files = kit::kit_files_of(&tree, source.dir()).map_err(|error| unread(&error))?;
        if files.is_empty() {
            let message = format!("{source}: commit {id} has no folder {}", source.dir());
            return Err(Failure::new(Kind::File, "kit_source", message).hint("`dir=` names the kit's folder"));
        }
        let archive = kit::kit_archive(&files).map_err(|error| unread(&error))?;
        kit::kit_files_in(&archive).map_err(|error| unread(&error))?;
        let digest = cache.put(&archive).map_err(|error| {
            Failure::new(Kind::Failed, "kit_cache", "what was fetched cannot be kept").caused_by(&error)
        })?;
        self.told.borrow_mut().push(format!("fetched {source}: commit {id}, sha256:{digest}"));
        Ok(Pin { commit: id, digest })
    }
}

/// The sources that findings want.
fn wanted(problems: &[Problem]) -> Vec<GitSource> {
    let sources = problems.iter().filter_map(|problem| match &problem.wants {
        Some(Wanted::Kit(source)) => Some((**source).clone()),
        _ => None,
    });
    let mut sources: Vec<GitSource> = sources.collect();
    sources.sort();
    sources.dedup();
    sources
}

fn not_fetched(error: &FetchError) -> Failure {
    match error {
        FetchError::NoGit => Failure::from_error(Kind::HostLacks, "no_git", error)
            .hint("install git; a kit by URL is fetched with it"),
        FetchError::Port(_) => Failure::from_error(Kind::HostLacks, "fetch_port", error)
            .hint("name the port in the source too: git+https://HOST:PORT/PATH"),
        FetchError::Slow(_) => {
            Failure::from_error(Kind::TimedOut, "fetch_slow", error).hint("try again later")
        }
        FetchError::Begin(_) => Failure::from_error(Kind::Failed, "fetch", error),
        FetchError::Refused { .. } => Failure::from_error(Kind::Failed, "fetch", error).hint(
            "the address, `ref=` and `dir=` must be right, and the repository readable without a log-in",
        ),
    }
}

#[cfg(test)]
#[path = "elsewhere_tests.rs"]
mod tests;
