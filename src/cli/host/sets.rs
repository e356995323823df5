//! Named sets on this host: what `registry:NAME` is here, and the lock file that pins it.

use std::{collections::BTreeMap, fs::Permissions, io::Write, os::unix::fs::PermissionsExt, path::Path};

use super::{Host, documents, root::package_failure};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{LockUpdate, Source, UpdateWish},
    },
    kit::{
        self, Code, Context, Elsewhere, Expansion, LoadError, Loaded, Lock, LockChange, LockUse, Locked,
        LockedPackage, Selection, Wanted,
    },
    model::{
        desired::{KitUse, Sandbox},
        registry::{Lookup, Registries, Registry},
        rule::{Effect, NetworkRule},
        template::{BASE_PACKAGES, is_base_package},
    },
    plan::grant::{GrantSet, Granted, granted},
    registry::{Here, look_up},
    template::{self, EnsureError, Package, image},
};

impl Host {
    /// What `sandbox.lock` is for in this command.
    pub(super) fn lock_use(&self) -> LockUse {
        if self.locked.get() { LockUse::Only } else { LockUse::Prefer }
    }

    /// Reads and checks files. A registry that they name is looked up when they do, and no other.
    pub(super) fn load_selection(&self, selection: &Selection, lock: LockUse) -> Result<Loaded, LoadError> {
        self.load_with(selection, &mut self.kit_context(lock, self.elsewhere(false)))
    }

    /// As [`Self::load_selection`], with what is around the files.
    pub(super) fn load_with(
        &self,
        selection: &Selection,
        context: &mut Context,
    ) -> Result<Loaded, LoadError> {
        loop {
            let loaded = kit::load(selection.clone(), context);
            let Err(LoadError::Invalid(problems)) = &loaded else { return loaded };
            let wanted = problems.iter().filter_map(|problem| match &problem.wants {
                Some(Wanted::Registry(name)) => Some(name),
                _ => None,
            });
            let wanted: Vec<&String> = wanted.collect();
            // Each round answers at least one name that had no answer, and a file has few.
            if !self.look_up_all(&wanted, &mut context.registries) {
                return loaded;
            }
        }
    }

    pub(super) fn kit_context(&self, lock: LockUse, elsewhere: Elsewhere) -> Context {
        Context {
            folder: self.folder.clone(),
            home: self.home.clone(),
            default_memory: documents::default_memory(),
            user_folder: self.places.config.parent().map(Into::into),
            registries: self.operator_registries(),
            lock,
            elsewhere,
            tree: None,
        }
    }

    /// What the operator says of registries: known without asking anybody.
    fn operator_registries(&self) -> Registries {
        let answer = |(name, urls): (&String, &Vec<_>)| {
            let source = format!("registries.{name} of the operator's configuration");
            (name.clone(), Lookup::Found(Registry { urls: urls.clone(), source }))
        };
        Registries(self.config.registries.iter().map(answer).collect())
    }

    /// Looks up what is wanted; whether anything was asked that had no answer before.
    fn look_up_all(&self, wanted: &[&String], registries: &mut Registries) -> bool {
        let mut asked = false;
        for name in wanted {
            if !registries.0.contains_key(*name) {
                registries.0.insert((*name).clone(), self.look_up(name));
                asked = true;
            }
        }
        asked
    }

    fn look_up(&self, name: &str) -> Lookup {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let repository = kit::Repository::find(&self.folder).ok().flatten();
        let inside = repository.map_or_else(|| self.folder.clone(), |repository| repository.root);
        let search = Here::search(&env("PATH").unwrap_or_default(), &inside);
        look_up(name, &Here { home: self.home.clone(), root: "/".into(), search, env: &env })
    }

    /// What a set is for a rule of the command line.
    pub(super) fn expand_set(&self, kind: &str, name: &str, effect: Effect) -> Result<Expansion, Failure> {
        let mut context = self.kit_context(LockUse::Ignore, self.elsewhere(false));
        let failure = loop {
            match kit::named_set(kind, name, effect, &context) {
                Ok(expansion) => return Ok(expansion),
                Err(trouble) => match &trouble.wants {
                    Some(wanted) if self.look_up_all(&[wanted], &mut context.registries) => {}
                    _ => break trouble,
                },
            }
        };
        let kind = if failure.code == Code::Registry { Kind::HostLacks } else { Kind::Usage };
        Err(Failure::new(kind, "named_set", failure.message).hint(failure.help))
    }

    /// Resolves anew what the lock file pins.
    pub(super) fn renew_lock(&self, source: &Source, wish: &UpdateWish<'_>) -> Result<LockUpdate, Failure> {
        let versions = |names: &[String]| image::resolve(&template::Host::this(), names);
        self.renew_lock_with(source, wish, &versions)
    }

    /// As [`Self::renew_lock`], with somebody to ask for the versions of packages.
    fn renew_lock_with(
        &self,
        source: &Source,
        wish: &UpdateWish<'_>,
        versions: &Versions<'_>,
    ) -> Result<LockUpdate, Failure> {
        let selection = documents::selection(source)?;
        // As it was before anything is fetched: what it asked for is what a change is held against.
        let known = self.load_selection(&selection, LockUse::Prefer).map(|loaded| loaded.sandboxes);
        let loaded = self.load_for_update(&selection, wish)?;
        let Some(path) = loaded.lock_path.clone() else {
            return Err(Failure::usage("no_lock", "standard input has no folder that a lock file lies in")
                .hint("name a file or a folder with -f"));
        };
        // Where the one that is there is damaged, it is written anew.
        let before = loaded.lock.clone().unwrap_or_default();
        // What is pinned stays as it is with --locked; the kits that it names are here now.
        let after = match self.locked.get() {
            true => before.clone(),
            false => {
                let base: &[&str] = if self.has_tools { &BASE_PACKAGES } else { &[] };
                Lock { packages: packages(&loaded.sandboxes, base, &before, versions)?, ..pinned(&loaded) }
            }
        };
        let changes = before.changes(&after);
        let mut consequences = consequences(&loaded, &changes);
        consequences.extend(self.widened(&known.unwrap_or_default(), &loaded, &before, &after));
        let written = wish.write && !changes.is_empty();
        if written {
            replace(&path, &after.text())?;
        }
        Ok(LockUpdate { path, changes, consequences, fetched: self.told(), written })
    }

    /// What kits ask for now and did not before, grant by grant. What a kit asked for before is known where the cache holds
    /// it by its old commit; of one that lies in the repository only the new state is there, and all of it is shown.
    fn widened(&self, before: &[Sandbox], loaded: &Loaded, old: &Lock, new: &Lock) -> Vec<String> {
        let ground = self.ground(&loaded.base);
        let changed = |kit: &&KitUse| {
            let digest = |lock: &Lock| lock.kits.get(&kit.name).map(|locked| locked.digest.clone());
            digest(old) != digest(new)
        };
        let mut lines = Vec::new();
        for sandbox in &loaded.sandboxes {
            let same = before.iter().find(|before| before.name == sandbox.name);
            let sources: Vec<&str> =
                sandbox.kits.iter().filter(changed).map(|kit| kit.source.as_str()).collect();
            let lost = |file: &str| sources.contains(&file) && !file.starts_with("git+");
            let known =
                |it: &Granted<'_>| !it.origin.and_then(|origin| origin.file.as_deref()).is_some_and(lost);
            let had = same.iter().flat_map(|before| granted(before, &ground)).filter(known);
            let had: GrantSet = had.map(|it| it.grant).collect();
            for Granted { grant, origin, .. } in granted(sandbox, &ground) {
                let origin = origin
                    .filter(|origin| origin.file.as_deref().is_some_and(|file| sources.contains(&file)));
                if let Some(origin) = origin.filter(|_| !had.covers(&grant)) {
                    lines.push(format!("{}: {grant} ({})", sandbox.name, crate::cli::render::origin(origin)));
                }
            }
        }
        lines
    }
}

/// What a lock file that was written now would hold.
fn pinned(loaded: &Loaded) -> Lock {
    let registries = loaded.registries.iter().map(pin).collect();
    let mut lock = Lock { registries, ..Lock::default() };
    lock.pin_sources(&loaded.sources);
    lock.pin_kits(loaded.sandboxes.iter().flat_map(|sandbox| &sandbox.kits));
    lock
}

/// Who says in which versions packages are to be had.
type Versions<'a> = dyn Fn(&[String]) -> Result<Vec<Package>, EnsureError> + 'a;

/// The packages of all templates, and those that stand for the base, in the versions that are to be had now. Where
/// nobody can say what the base is (no package tool here, or no lists), it stays as it was pinned.
fn packages(
    sandboxes: &[Sandbox],
    base: &[&str],
    before: &Lock,
    versions: &Versions<'_>,
) -> Result<BTreeMap<String, BTreeMap<String, LockedPackage>>, Failure> {
    let pin = |package: Package| (package.name, LockedPackage { version: package.version, line: 0 });
    let base: Vec<String> = base.iter().map(|name| (*name).to_owned()).collect();
    let base = if base.is_empty() { Vec::new() } else { versions(&base).unwrap_or_default() };
    let mut pinned: BTreeMap<String, BTreeMap<String, LockedPackage>> = BTreeMap::new();
    for image in sandboxes.iter().map(|sandbox| &sandbox.template.image) {
        let was = before.packages.get(image).into_iter().flatten();
        let was = was.filter(|(name, _)| is_base_package(name)).map(|(name, it)| (name.clone(), it.clone()));
        let own = pinned.entry(image.clone()).or_insert_with(|| was.collect());
        own.extend(base.iter().cloned().map(pin));
    }
    for sandbox in sandboxes.iter().filter(|sandbox| !sandbox.template.packages.is_empty()) {
        let found = versions(&sandbox.template.packages).map_err(|error| package_failure(sandbox, &error))?;
        pinned.entry(sandbox.template.image.clone()).or_default().extend(found.into_iter().map(pin));
    }
    pinned.retain(|_, packages| !packages.is_empty());
    Ok(pinned)
}

/// What a sandbox's template becomes by the change of a package.
fn built_anew(sandbox: &Sandbox, changes: &[LockChange]) -> Option<String> {
    let image = &sandbox.template.image;
    let changed = |name: &&String| {
        let what = format!("package {name} on {image}");
        changes.iter().any(|change| change.what == what && change.after.is_some())
    };
    let of_the_base = format!("image {image}");
    let base = changes.iter().any(|change| change.what == of_the_base && change.after.is_some());
    let own = sandbox.template.packages.iter().filter(changed).map(String::as_str);
    let names: Vec<&str> = base.then_some("another base").into_iter().chain(own).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{}: a template with {}; the next apply replaces its system disk",
            sandbox.name,
            names.join(", ")
        )
    })
}

fn pin((name, registry): (&String, &Registry)) -> (String, Locked) {
    (name.clone(), Locked { urls: registry.urls.clone(), line: 0 })
}

/// The rules that a change concerns, as a reviewer reads them.
fn consequences(loaded: &Loaded, changes: &[LockChange]) -> Vec<String> {
    let mut lines = Vec::new();
    for sandbox in &loaded.sandboxes {
        for rule in &sandbox.network.rules {
            let set = rule.set.as_deref().map(|set| set.trim_end_matches("+publish"));
            if changes.iter().any(|change| Some(change.what.as_str()) == set) {
                lines.push(format!("{}: {}", sandbox.name, words(rule)));
            }
        }
        lines.extend(built_anew(sandbox, changes));
    }
    lines
}

/// `allow GET,HEAD packages.example:443 below /npm (sandbox.yaml:9)`.
fn words(rule: &NetworkRule) -> String {
    let http = rule.http.first();
    let methods = http.map(|http| http.methods.join(",")).filter(|methods| !methods.is_empty());
    let below = http.and_then(|http| http.paths.first()).map(|path| format!(" below {path}"));
    let place = crate::cli::render::origin(&rule.origin);
    let methods = methods.map(|methods| format!("{methods} ")).unwrap_or_default();
    let effect = crate::cli::render::effect(rule.effect);
    format!("{effect} {methods}{}{} ({place})", rule.pattern(), below.unwrap_or_default())
}

/// Puts the new text in place of the old as a whole: whoever reads meanwhile has one or the other.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".sandbox.lock.").permissions(Permissions::from_mode(0o644));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error: std::io::Error| {
        let message = format!("cannot write {}", path.display());
        Failure::new(Kind::Failed, "lock_write", message)
            .caused_by(&error)
            .hint("`cofferdam update --dry-run` shows what it would hold; run update where the folder can be written")
    })
}

#[cfg(test)]
#[path = "sets_tests.rs"]
mod tests;
