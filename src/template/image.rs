//! The base with further packages: built whole by the tool that builds the base, cached by what it is made from.
//!
//! Its key is over everything that decides what comes out: the recipe, the release, its sources, the machine's
//! architecture, and each package with the version that this host's apt would install now. New versions give another
//! key, and so another image; a sandbox that has been made stays on its own.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    base::{self, DPKG_OPTIONS, IMAGE, PACKAGES, Recipe, Stage},
    cache::{Cache, EnsureError, StoredFile, key_of},
    host::{Host, read_bounded},
    progress::{Meter, Progress, Step},
    requirement,
    tool::Tool,
};
use crate::model::template::is_package_name;

pub(super) const KIND: &str = "image";
pub(super) const RECORD: &str = "record.json";
/// Counts up when images of one key would come out differently.
const RECIPE: &str = "cofferdam image 1";
const RECORD_LIMIT: u64 = 1 << 20;
/// dpkg's list of some hundred packages is 200 KiB.
pub(super) const STATUS_LIMIT: u64 = 16 << 20;
/// Most packages of one template.
const PACKAGES_LIMIT: usize = 1000;

/// Versions that packages are pinned to, by name: checked when the lock file was read.
pub type Pins = BTreeMap<String, String>;

/// A package and its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version, in the distribution's form.
    pub version: String,
}

/// An image with packages in the cache.
#[derive(Debug, Clone)]
pub struct Image {
    folder: PathBuf,
    record: Record,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    key: String,
    system: String,
    packages: Vec<Package>,
    files: Vec<StoredFile>,
}

impl Image {
    /// The image of this key, when it is there and whole.
    #[must_use]
    pub fn find(cache: &Cache, key: &str) -> Option<Self> {
        let folder = cache.folder(KIND, key)?;
        let record: Record = read_json(&folder.join(RECORD))?;
        let whole = matches!(&record.files[..], [image] if image.name == IMAGE && image.is_whole(&folder));
        (whole && record.key == key).then_some(Self { folder, record })
    }

    /// What it was made from: 64 hexadecimal digits.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.record.key
    }

    /// What it holds, for people: `debian 12`.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.record.system
    }

    /// The packages that were asked for, with the versions that are in it.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        &self.record.packages
    }

    /// squashfs of the root file system.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join(IMAGE)
    }
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read_bounded(path, RECORD_LIMIT).ok()?).ok()
}

impl Cache {
    /// The base with these packages and those of `pins`, when it is there. Where not all are pinned, apt is asked which versions there are.
    ///
    /// # Errors
    /// A name that is none, or that the lists do not know.
    pub fn find_image(
        &self,
        host: &Host,
        names: &[String],
        pins: &Pins,
    ) -> Result<Option<Image>, EnsureError> {
        let names: Vec<String> = names.iter().chain(pins.keys()).cloned().collect();
        Ok(Image::find(self, &image_key(host, &wanted(host, &names, pins)?)?))
    }

    /// The base with these packages and those of `pins`, built when it is missing; the latter in exactly their versions.
    /// The base itself has to be there: [`Cache::ensure`].
    ///
    /// # Errors
    /// See [`EnsureError`]; a name that is none, or that the lists do not know, or not in the pinned version, before
    /// anything is begun.
    pub fn ensure_image(
        &self,
        host: &Host,
        names: &[String],
        pins: &Pins,
        progress: &dyn Progress,
    ) -> Result<Image, EnsureError> {
        let names: Vec<String> = names.iter().chain(pins.keys()).cloned().collect();
        let packages = wanted(host, &names, pins)?;
        let key = image_key(host, &packages)?;
        if let Some(image) = Image::find(self, &key) {
            return Ok(image);
        }
        obtainable(host, &packages, pins)?;
        let _lock = self.lock(progress)?;
        self.sweep()?;
        match Image::find(self, &key) {
            Some(image) => Ok(image),
            None => build(self, host, &key, (&packages, pins), progress),
        }
    }
}

fn build(
    cache: &Cache,
    host: &Host,
    key: &str,
    (packages, pins): (&[Package], &Pins),
    progress: &dyn Progress,
) -> Result<Image, EnsureError> {
    let mut meter = Meter::start(progress, Step::Packages);
    let distribution = host.distribution();
    let sources = base::release_sources(host, &distribution)?;
    let (work, tools) = (cache.building()?, cache.building()?);
    let stored = |source| EnsureError::Cache { path: work.path().to_owned(), source };
    let further: Vec<String> = packages.iter().map(|package| asked_for(package, pins)).collect();
    let recipe = Recipe { distribution: &distribution, sources: &sources, further: &further };
    let stage = Stage { tools: tools.path(), work: work.path(), step: Step::Packages };
    base::make_image(host, &recipe, &stage, &mut meter)?;
    meter.advance(970, "storing");
    let status = read_bounded(&tools.path().join(base::STATUS), STATUS_LIMIT).map_err(stored)?;
    let found = installed(&String::from_utf8_lossy(&status), packages);
    let other =
        packages.iter().zip(&found).find(|(asked, found)| asked != found && pins.contains_key(&asked.name));
    if let Some((asked, found)) = other {
        return Err(pinned(asked, found.version.clone()));
    }
    let packages = found;
    let files = vec![StoredFile::measure(work.path(), IMAGE).map_err(stored)?];
    let record = Record { key: key.to_owned(), system: distribution.title(), packages, files };
    let json = serde_json::to_vec_pretty(&record).map_err(io::Error::from).map_err(stored)?;
    fs::write(work.path().join(RECORD), json).map_err(stored)?;
    cache.publish(work, KIND, key)?;
    meter.finish();
    let gone =
        || EnsureError::Cache { path: cache.root().join(KIND), source: io::ErrorKind::NotFound.into() };
    Image::find(cache, key).ok_or_else(gone)
}

/// As apt is asked for it.
fn asked_for(package: &Package, pins: &Pins) -> String {
    match pins.get(&package.name) {
        Some(version) => format!("{}={version}", package.name),
        None => package.name.clone(),
    }
}

/// The names of a template with the versions that apt of this host would install; sorted, each once.
///
/// # Errors
/// The first name that is none or that the lists do not know.
pub fn resolve(host: &Host, names: &[String]) -> Result<Vec<Package>, EnsureError> {
    let names = checked(names)?;
    let known = ask(host, &names)?;
    let find = |name: &String| {
        let version = known.get(name).and_then(|known| known.candidate.clone());
        let version = version.ok_or_else(|| EnsureError::UnknownPackage {
            name: name.clone(),
            distribution: host.distribution().title(),
            command: requirement::shell_line(&[requirement::refresh_command(host.superuser)]),
        })?;
        Ok(Package { name: name.clone(), version })
    };
    names.iter().map(find).collect()
}

/// The packages of a template as they are to be. Where all are pinned, nobody is asked: an image that is there is found
/// without apt.
fn wanted(host: &Host, names: &[String], pins: &Pins) -> Result<Vec<Package>, EnsureError> {
    let names = checked(names)?;
    let pinned = |name: &String| {
        let version = pins.get(name)?;
        Some(Package { name: name.clone(), version: version.clone() })
    };
    let (fixed, open): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| pins.contains_key(name));
    let mut packages = if open.is_empty() { Vec::new() } else { resolve(host, &open)? };
    packages.extend(fixed.iter().filter_map(pinned));
    packages.sort();
    Ok(packages)
}

/// Fails where a pinned version is not to be had here.
fn obtainable(host: &Host, packages: &[Package], pins: &Pins) -> Result<(), EnsureError> {
    let fixed: Vec<&Package> = packages.iter().filter(|package| pins.contains_key(&package.name)).collect();
    if fixed.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = fixed.iter().map(|package| package.name.clone()).collect();
    let known = ask(host, &names)?;
    let nothing = Known::default();
    for package in fixed {
        let known = known.get(&package.name).unwrap_or(&nothing);
        if !known.versions.contains(&package.version) {
            return Err(pinned(package, known.words()));
        }
    }
    Ok(())
}

fn pinned(package: &Package, available: String) -> EnsureError {
    EnsureError::PinnedPackage { name: package.name.clone(), pinned: package.version.clone(), available }
}

fn ask(host: &Host, names: &[String]) -> Result<BTreeMap<String, Known>, EnsureError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let failed = |source| EnsureError::Tool { step: Step::Packages, source };
    // No name begins with a dash: they are checked.
    let output = Tool::new(host, "apt-cache").arg("policy").args(names).output().map_err(failed)?;
    Ok(known(&String::from_utf8_lossy(&output)))
}

/// The names, sorted, each once.
fn checked(names: &[String]) -> Result<Vec<String>, EnsureError> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    match names.iter().find(|name| !is_package_name(name)).or(names.get(PACKAGES_LIMIT)) {
        Some(name) => Err(EnsureError::PackageName { name: name.clone() }),
        None => Ok(names),
    }
}

/// What `apt-cache policy` says of one package.
#[derive(Debug, Default)]
struct Known {
    /// The version that would be installed.
    candidate: Option<String>,
    /// Those that a source has.
    versions: Vec<String>,
}

impl Known {
    fn words(&self) -> String {
        if self.versions.is_empty() { "no version".to_owned() } else { self.versions.join(", ") }
    }
}

/// A line `NAME:`; below it `  Candidate: VERSION`, `(none)` for a name without a package, and `  Version table:`, in
/// which ` *** VERSION` or `     VERSION` begins a version, and deeper lines name where it is to be had.
fn known(text: &str) -> BTreeMap<String, Known> {
    let mut all: BTreeMap<String, Known> = BTreeMap::new();
    let (mut name, mut version) = (String::new(), None);
    for line in text.lines() {
        if let Some(title) = line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
            (name, version) = (title.to_owned(), None);
            all.entry(name.clone()).or_default();
            continue;
        }
        let Some(known) = all.get_mut(&name) else { continue };
        if let Some(candidate) = line.trim().strip_prefix("Candidate: ") {
            known.candidate = Some(candidate.to_owned()).filter(|candidate| candidate != "(none)");
        } else if let Some(entry) = line.strip_prefix(" *** ").or_else(|| line.strip_prefix("     "))
            && !entry.starts_with(' ')
        {
            version = entry.split_whitespace().next().map(str::to_owned);
        } else if !line.trim_end().ends_with("/var/lib/dpkg/status") && line.starts_with("        ") {
            // What only this host has installed cannot be installed elsewhere.
            known.versions.extend(version.take());
        }
    }
    all
}

/// The packages with the versions that dpkg says are installed; one that it does not name keeps its own.
fn installed(status: &str, packages: &[Package]) -> Vec<Package> {
    let versions = versions(status);
    let correct = |package: &Package| {
        let version = versions.get(&package.name).unwrap_or(&package.version).clone();
        Package { name: package.name.clone(), version }
    };
    packages.iter().map(correct).collect()
}

/// Those of `names` that dpkg says are installed.
pub(super) fn found(status: &str, names: &[&str]) -> Vec<Package> {
    let mut versions = versions(status);
    let package = |name: &&str| Some(Package { name: (*name).to_owned(), version: versions.remove(*name)? });
    names.iter().filter_map(package).collect()
}

/// dpkg's list: paragraphs with `Package:` and `Version:`.
fn versions(status: &str) -> BTreeMap<String, String> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let mut versions = BTreeMap::new();
    for paragraph in status.split("\n\n") {
        if let (Some(name), Some(version)) = (field(paragraph, "Package:"), field(paragraph, "Version:")) {
            versions.insert(name, version);
        }
    }
    versions
}

fn image_key(host: &Host, packages: &[Package]) -> Result<String, EnsureError> {
    let distribution = host.distribution();
    let sources = base::release_sources(host, &distribution)?;
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let fixed = [RECIPE, &machine, &distribution.id, &distribution.codename, &sources.for_image];
    let wanted = packages.iter().flat_map(|package| [package.name.as_str(), package.version.as_str()]);
    Ok(key_of(fixed.into_iter().chain(PACKAGES).chain(DPKG_OPTIONS).chain(wanted)))
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
