//! `sandbox.lock`: what registries, kits and packages resolved to, committed beside the files, so that all who use them resolve
//! alike and a change is seen.
//!
//! The file is read as strictly as any other (bounded, spanned, unknown keys refused); it is written sorted, so that
//! the same facts are the same bytes. Reading and writing are pure; whoever holds the host replaces the file.

mod kits;
mod packages;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::elsewhere::{GitSource, Pin};
use crate::model::{desired::KitUse, registry::RegistryUrl, template::is_base_package};

pub(super) use kits::differing_kits;
pub(super) use packages::pin_packages;
pub use read::read;

/// Name of the file.
pub const LOCK_FILE: &str = "sandbox.lock";
/// The form that this release reads and writes.
const VERSION: i64 = 1;

/// What is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// Registries, by name.
    pub registries: BTreeMap<String, Locked>,
    /// Kits, by name.
    pub kits: BTreeMap<String, LockedKit>,
    /// Versions of distribution packages by the image that they are added to, and by name.
    pub packages: BTreeMap<String, BTreeMap<String, LockedPackage>>,
    /// What sources of kits resolved to.
    pub sources: BTreeMap<GitSource, LockedSource>,
}

/// A pinned package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// Its version, in the distribution's form.
    pub version: String,
    /// Line of the entry; 0 where it was not read.
    pub line: u32,
}

/// A pinned source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedSource {
    /// Which commit, and which bytes.
    pub pin: Pin,
    /// Line of the entry; 0 where it was not read.
    pub line: u32,
}

/// A pinned registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Its addresses.
    pub urls: Vec<RegistryUrl>,
    /// Line of the entry; 0 where it was not read.
    pub line: u32,
}

/// A pinned kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedKit {
    /// Where it was found, as the files name it.
    pub source: String,
    /// SHA-256 over what was read of it, hexadecimal.
    pub digest: String,
    /// Line of the entry; 0 where it was not read.
    pub line: u32,
}

/// One difference between what is pinned and what is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LockChange {
    /// `registry:npm`, `kit review`, `git+https://…`.
    pub what: String,
    /// Pinned value; none where nothing was pinned.
    pub before: Option<String>,
    /// Value now; none where nothing uses it any more.
    pub after: Option<String>,
}

impl Lock {
    /// Pins the kits that were used: built-in ones come with the program and have no digest.
    pub fn pin_kits<'k>(&mut self, uses: impl Iterator<Item = &'k KitUse>) {
        self.kits.extend(by_name(uses));
    }

    /// Pins what sources resolved to.
    pub fn pin_sources(&mut self, sources: &BTreeMap<GitSource, Pin>) {
        let locked =
            |(source, pin): (&GitSource, &Pin)| (source.clone(), LockedSource { pin: pin.clone(), line: 0 });
        self.sources.extend(sources.iter().map(locked));
    }

    /// What `after` has otherwise, sorted.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<LockChange> {
        let (before, after) = (self.lines(), after.lines());
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        let change = |name: &String| {
            let (mut was, mut is) = (before.get(name).cloned(), after.get(name).cloned());
            // Of what stands for a base only that which differs.
            if let (true, Some(was), Some(is)) = (name.starts_with("image "), &mut was, &mut is) {
                (*was, *is) = (without(was, is), without(is, was));
            }
            LockChange { what: name.clone(), before: was, after: is }
        };
        names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(change).collect()
    }

    fn lines(&self) -> BTreeMap<String, String> {
        let urls =
            |locked: &Locked| locked.urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let registries = self.registries.iter().map(|(name, it)| (format!("registry:{name}"), urls(it)));
        let kits = self
            .kits
            .iter()
            .map(|(name, it)| (format!("kit {name}"), format!("{} {}", it.source, it.digest)));
        let packages = self.packages.iter().flat_map(|(image, packages)| {
            let (base, own): (Vec<_>, Vec<_>) = packages.iter().partition(|(name, _)| is_base_package(name));
            let line = move |(name, it): (&String, &LockedPackage)| {
                (format!("package {name} on {image}"), it.version.clone())
            };
            let base: Vec<String> = base.iter().map(|(name, it)| format!("{name} {}", it.version)).collect();
            let base = (!base.is_empty()).then(|| (format!("image {image}"), base.join(", ")));
            base.into_iter().chain(own.into_iter().map(line))
        });
        let pinned = |it: &LockedSource| format!("commit {} sha256:{}", it.pin.commit, it.pin.digest);
        let sources = self.sources.iter().map(|(source, it)| (source.to_string(), pinned(it)));
        registries.chain(kits).chain(packages).chain(sources).collect()
    }
}

/// The parts of one list that are not in the other.
fn without(list: &str, other: &str) -> String {
    let other: BTreeSet<&str> = other.split(", ").collect();
    list.split(", ").filter(|part| !other.contains(part)).collect::<Vec<_>>().join(", ")
}

/// The kits of all uses, by name. A kit's digest is of what it became with its arguments: where one is used with
/// several, all of them count.
fn by_name<'k>(uses: impl Iterator<Item = &'k KitUse>) -> BTreeMap<String, LockedKit> {
    let mut digests: BTreeMap<&str, (&str, BTreeSet<&str>)> = BTreeMap::new();
    for kit in uses {
        if let Some(digest) = &kit.digest {
            digests.entry(&kit.name).or_insert((&kit.source, BTreeSet::new())).1.insert(digest);
        }
    }
    let pinned = |(name, (source, digests)): (&str, (&str, BTreeSet<&str>))| {
        let joined = digests.iter().copied().collect::<Vec<_>>().join("\n");
        let digest = match digests.len() {
            1 => joined,
            _ => Sha256::digest(joined).iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        (name.to_owned(), LockedKit { source: source.to_owned(), digest, line: 0 })
    };
    digests.into_iter().map(pinned).collect()
}
