//! The base with further packages: built whole by the tool that builds the base, cached by what it is made from.
//!
//! Its key is over everything that decides what comes out: the recipe, the release, its sources, the machine's
//! architecture, and each package with the version that this host's apt would install now. New versions give another
//! key, and so another image; a sandbox that has been made stays on its own.

use std::{
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

pub(super) const KIND: &str = "image";
pub(super) const RECORD: &str = "record.json";
/// Counts up when images of one key would come out differently.
const RECIPE: &str = "cofferdam image 1";
const RECORD_LIMIT: u64 = 1 << 20;
/// dpkg's list of some hundred packages is 200 KiB.
const STATUS_LIMIT: u64 = 16 << 20;
/// Longest name of a package; the longest in Debian 12 has 77 bytes.
const NAME_LIMIT: usize = 128;
/// Most packages of one template.
const PACKAGES_LIMIT: usize = 1000;

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
    /// The base with these packages, built when it is missing. The base itself has to be there: [`Cache::ensure`].
    ///
    /// # Errors
    /// See [`EnsureError`]; a name that is none, or that the lists do not know, before anything is begun.
    pub fn ensure_image(
        &self,
        host: &Host,
        names: &[String],
        progress: &dyn Progress,
    ) -> Result<Image, EnsureError> {
        let packages = resolve(host, names)?;
        let key = image_key(host, &packages)?;
        if let Some(image) = Image::find(self, &key) {
            return Ok(image);
        }
        let _lock = self.lock(progress)?;
        self.sweep()?;
        match Image::find(self, &key) {
            Some(image) => Ok(image),
            None => build(self, host, &key, packages, progress),
        }
    }
}

fn build(
    cache: &Cache,
    host: &Host,
    key: &str,
    packages: Vec<Package>,
    progress: &dyn Progress,
) -> Result<Image, EnsureError> {
    let mut meter = Meter::start(progress, Step::Packages);
    let distribution = host.distribution();
    let sources = base::release_sources(host, &distribution)?;
    let (work, tools) = (cache.building()?, cache.building()?);
    let stored = |source| EnsureError::Cache { path: work.path().to_owned(), source };
    let further: Vec<String> = packages.iter().map(|package| package.name.clone()).collect();
    let recipe = Recipe { distribution: &distribution, sources: &sources, further: &further };
    let stage = Stage { tools: tools.path(), work: work.path(), step: Step::Packages };
    base::make_image(host, &recipe, &stage, &mut meter)?;
    meter.advance(970, "storing");
    let status = read_bounded(&tools.path().join(base::STATUS), STATUS_LIMIT).map_err(stored)?;
    let packages = installed(&String::from_utf8_lossy(&status), packages);
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

/// The names of a template with the versions that apt of this host would install; sorted, each once.
///
/// # Errors
/// The first name that is none or that the lists do not know.
pub fn resolve(host: &Host, names: &[String]) -> Result<Vec<Package>, EnsureError> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names.dedup();
    if let Some(name) = names.iter().find(|name| !is_package_name(name)).or(names.get(PACKAGES_LIMIT)) {
        return Err(EnsureError::PackageName { name: (*name).clone() });
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |source| EnsureError::Tool { step: Step::Packages, source };
    // No name begins with a dash: they are checked.
    let output = Tool::new(host, "apt-cache").arg("policy").args(&names).output().map_err(failed)?;
    let known = candidates(&String::from_utf8_lossy(&output));
    let find = |name: &String| {
        let version = known.iter().find(|(known, _)| known == name).map(|(_, version)| version.clone());
        let version = version.ok_or_else(|| EnsureError::UnknownPackage {
            name: name.clone(),
            distribution: host.distribution().title(),
            command: requirement::shell_line(&[requirement::refresh_command(host.superuser)]),
        })?;
        Ok(Package { name: name.clone(), version })
    };
    names.into_iter().map(find).collect()
}

/// Debian policy 5.6.1: at least two characters, lower-case letters, digits, `+`, `-` and `.`, the first of them a
/// letter or digit.
fn is_package_name(name: &str) -> bool {
    let first =
        name.as_bytes().first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    // With a dash at its end apt may take the name for the wish to remove another package.
    first && !name.ends_with('-') && (2..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(plain)
}

/// `apt-cache policy`: a line `NAME:`, and below it `  Candidate: VERSION`, `(none)` for a name without a package.
fn candidates(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(title) = line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
            name = Some(title);
        } else if let Some(version) = line.trim().strip_prefix("Candidate: ")
            && let Some(name) = name.take()
            && version != "(none)"
        {
            found.push((name.to_owned(), version.to_owned()));
        }
    }
    found
}

/// The packages with the versions that dpkg says are installed; one that it does not name keeps its own.
fn installed(status: &str, packages: Vec<Package>) -> Vec<Package> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let mut versions = std::collections::BTreeMap::new();
    for paragraph in status.split("\n\n") {
        if let (Some(name), Some(version)) = (field(paragraph, "Package:"), field(paragraph, "Version:")) {
            versions.insert(name, version);
        }
    }
    let correct = |mut package: Package| {
        if let Some(version) = versions.get(&package.name) {
            package.version.clone_from(version);
        }
        package
    };
    packages.into_iter().map(correct).collect()
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
