//! What a sandbox's root file system is made of: found in the cache, or built.
//!
//! ```text
//! template:  image ──▶ base, or base + packages (mmdebstrap, here)      ┐
//!            steps ──▶ one layer each ([`steps`]: a throw-away machine) ┴▶ Stack, noted beside the system disk
//! start:     the noted Stack ──▶ files in the cache ──▶ the keeper's configuration
//! ```
//!
//! A system disk stays on the stack that it was begun on. Rules, packages' versions and the base may change: what is
//! built from them then is another stack, for the next sandbox or the next replacement of the disk.

mod approval;
mod execute;
mod follow;
mod log;
mod missing;
mod shelf;
mod steps;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use super::{Host, ensure_boot_files, machines::state_failure, show};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::Progress,
        output,
    },
    model::{
        config::KernelChoice,
        desired::Sandbox,
        launch::RootConfig,
        rule::Origin,
        template::{ImageId, Stack},
    },
    policy::layers,
    store::{Record, RuleSet, Scope},
    template::{self, Boot, Cache, EnsureError, Layer, image::Pins, layer},
};

/// Ends the machines of a build with the command that builds: they hold the reading end.
pub(super) struct Lifeline {
    reader: OwnedFd,
    _writer: OwnedFd,
}

impl Lifeline {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader: reader.into(), _writer: writer.into() })
    }

    /// For a machine.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.reader.try_clone()
    }
}

/// Where the machines of a bench have their state.
fn machines_of(bench: &Path) -> PathBuf {
    bench.join("state")
}

/// Rules that a build's machine runs under.
struct Rules {
    /// What commands added for this user, the repository and the sandbox.
    added: [RuleSet; 3],
    /// Identity of all that is permitted.
    key: String,
}

impl Host {
    /// The files that a sandbox's system disk stands on. They are built anew where the cache has lost them.
    pub(super) fn root_of(&self, record: &Record, on: &dyn Progress) -> Result<RootConfig, Failure> {
        self.ensure_boot_files(on)?;
        let (cache, dir) = (self.open_cache()?, self.store.sandbox(&record.id));
        let noted = dir.stack().map_err(state_failure)?;
        if let Some(files) = noted.as_ref().and_then(|stack| cache.files(stack)) {
            return Ok(RootConfig { image: files.image, layers: files.layers });
        }
        let stack = self.ensure_stack(&record.desired, Some(record), on)?;
        if noted.is_some_and(|noted| noted != stack) {
            output::warn(&format!(
                "sandbox {}: the template that its system disk stands on is no longer in the cache; what is built from \
                 the same description now differs, and lies below it from now on",
                record.name
            ));
        }
        dir.write_stack(&stack).map_err(state_failure)?;
        let files = cache.files(&stack).ok_or_else(|| {
            Failure::new(Kind::Failed, "template", "the template was removed while the sandbox was started")
        })?;
        Ok(RootConfig { image: files.image, layers: files.layers })
    }

    /// The template of a sandbox, built where something of it is missing. `record` is the sandbox, where there is one.
    pub(super) fn ensure_stack(
        &self,
        wanted: &Sandbox,
        record: Option<&Record>,
        on: &dyn Progress,
    ) -> Result<Stack, Failure> {
        let boot = self.ensure_boot_files(on)?;
        let image = self.ensure_image(wanted, &boot, on)?;
        let steps = &wanted.template.steps;
        if steps.is_empty() {
            return Ok(Stack { image, layers: Vec::new() });
        }
        let rules = self.build_rules(wanted, record)?;
        let planned = layer::plan(image.key(), steps, &self.kernel_key(&boot), &rules.key);
        let layers = planned.iter().map(|layer| layer.key.clone()).collect();
        let cache = self.open_cache()?;
        if planned.iter().any(|layer| Layer::find(&cache, &layer.key).is_none()) {
            self.build_layers(&cache, (wanted, record), &image, (&planned, &rules), on)?;
        }
        Ok(Stack { image, layers })
    }

    fn ensure_image(&self, wanted: &Sandbox, boot: &Boot, on: &dyn Progress) -> Result<ImageId, Failure> {
        let (cache, host) = (self.open_cache()?, template::Host::this());
        let build = |pins: &Pins| {
            let names = &wanted.template.packages;
            if names.is_empty() && boot.base.holds(pins) {
                return Ok(ImageId::Base(boot.base.digest().to_owned()));
            }
            let image =
                cache.ensure_image(&host, names, pins, &|report: template::Report<'_>| show(on, report));
            image.map(|image| ImageId::Packages(image.key().to_owned()))
        };
        let pins = &wanted.template.versions;
        let image = match build(pins) {
            // Mirrors keep the newest only, and another release has another base: it is held to with --locked.
            Err(error @ EnsureError::PinnedPackage { .. })
                if !self.locked.get() && is_of_the_base(wanted, &error) =>
            {
                output::warn(&format!(
                    "warning: {}: {error}; its base is what is to be had (`cofferdam update` pins that, --locked refuses)",
                    wanted.name
                ));
                let own = |(name, _): &(&String, &String)| wanted.template.packages.contains(name);
                build(
                    &pins.iter().filter(own).map(|(name, version)| (name.clone(), version.clone())).collect(),
                )
            }
            built => built,
        };
        image.map_err(|error| package_failure(wanted, &error))
    }

    /// Kernel and base, built when they are missing.
    fn ensure_boot_files(&self, on: &dyn Progress) -> Result<Boot, Failure> {
        ensure_boot_files(&self.places.cache, on)
    }

    pub(super) fn open_cache(&self) -> Result<Cache, Failure> {
        Cache::open(&self.places.cache).map_err(|error| cache_failure(&error))
    }

    /// What a step may find out about the kernel that it runs on.
    fn kernel_key(&self, boot: &Boot) -> String {
        match &self.config.kernel {
            KernelChoice::Path(path) => path.display().to_string(),
            KernelChoice::Auto | KernelChoice::Stock => boot.kernel.release().to_owned(),
        }
    }

    /// The sandbox's own rules, with what commands added.
    fn build_rules(&self, wanted: &Sandbox, record: Option<&Record>) -> Result<Rules, Failure> {
        let owner = record.map_or(&self.here, |record| &record.owner);
        let set = |scope: Scope<'_>| self.store.rules(scope).map_err(state_failure);
        let session = record.map(|record| set(Scope::Sandbox(&record.id))).transpose()?;
        let added = [set(Scope::User)?, set(Scope::Owner(owner))?, session.unwrap_or_default()];
        let chosen = added.iter().rev().find_map(|set| set.preset);
        let further = added.iter().flat_map(|set| set.rules.iter().cloned());
        let policy = layers::compose(0, &wanted.network, None, chosen, further);
        let key = layer::policy_key(&policy.rules, &policy.host_services);
        let key = layer::surroundings_key(&key, &self.config.egress.resolve, &self.upstream_ca()?);
        Ok(Rules { added, key })
    }
}

/// Whether it is about a package that the file does not ask for.
fn is_of_the_base(wanted: &Sandbox, error: &EnsureError) -> bool {
    matches!(error, EnsureError::PinnedPackage { name, .. } if !wanted.template.packages.contains(name))
}

fn cache_failure(error: &EnsureError) -> Failure {
    Failure::from_error(Kind::Failed, "template", error)
}

/// A name is the file's fault (3); everything else is a template that could not be built (1).
pub(super) fn package_failure(wanted: &Sandbox, error: &EnsureError) -> Failure {
    let failure = match error {
        EnsureError::PackageName { .. } => Failure::from_error(Kind::File, "package_name", error),
        EnsureError::UnknownPackage { command, .. } => {
            Failure::from_error(Kind::File, "unknown_package", error)
                .hint(format!("look at the name; if the lists are old, run `{command}`"))
        }
        EnsureError::HostLacks { .. } => {
            Failure::from_error(Kind::HostLacks, "template", error).hint("cofferdam doctor --fix")
        }
        EnsureError::PinnedPackage { .. } => Failure::from_error(Kind::Failed, "template_failed", error)
            .hint("`cofferdam update` pins what is to be had now and shows the difference; commit sandbox.lock then"),
        _ => Failure::from_error(Kind::Failed, "template_failed", error)
            .hint(match wanted.template.versions.is_empty() {
                true => "nothing was kept; mend what the log says and run the command again",
                // An older version may need others that are no longer to be had.
                false => "nothing was kept; where the log says that a pinned version cannot be installed, `cofferdam update` pins what can be",
            }),
    };
    let name = match error {
        EnsureError::PackageName { name }
        | EnsureError::UnknownPackage { name, .. }
        | EnsureError::PinnedPackage { name, .. } => name,
        _ => "",
    };
    let named = format!("template.packages.{name}");
    let places = [named.as_str(), "template.packages", "template"];
    match places.iter().find_map(|place| wanted.origins.get(*place)) {
        Some(Origin { file: Some(file), line, .. }) => failure.at(file, *line, None),
        _ => failure,
    }
}
