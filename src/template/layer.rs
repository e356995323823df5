//! What build steps changed: one disk for each step, kept as the guest's kernel left it.
//!
//! A step runs as root in a machine of its own, whose root is the image with the layers so far and an empty system disk
//! above. When it has succeeded and the machine has gone down in order, that disk *is* the layer: it is moved here, and
//! later machines get it read-only. The host never mounts or unpacks it; only guests do. It reads two numbers at fixed
//! places, which say whether the file system was left in order: one that was not cannot be mounted read-only.
//!
//! Who runs the machines is the command line's business; this is where they are put (a [`Bench`]) and kept. A bench is
//! below the cache's `building/`, so that a finished disk is moved and not copied, and goes with the command; what a
//! killed one left, the next bench clears away.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{
    cache::{Cache, EnsureError, FORMAT, StoredFile, key_of},
    image::{RECORD, read_json},
    progress::Progress,
};
use crate::model::{
    desired::BuildStep,
    rule::{HostService, Layer as RuleLayer, NetworkRule, Origin},
};

pub(super) const KIND: &str = "layer";
const DISK: &str = "disk.img";
const BENCH: &str = "bench-";
/// Counts up when a step's layer would come out differently.
const RECIPE: &str = "cofferdam layer 1";

/// Most layers on one image: each is a device of the machine. Steps beyond run together with the last.
pub const LAYERS_MAX: usize = 12;

/// What a step left, in the cache.
#[derive(Debug, Clone)]
pub struct Layer {
    folder: PathBuf,
    record: LayerRecord,
}

/// What is said of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// What it was made from: 64 hexadecimal digits.
    pub key: String,
    /// Key of the image or layer directly below.
    pub below: String,
    /// The commands.
    pub steps: Vec<String>,
    /// Bytes of the disk, holes included.
    #[serde(default)]
    pub bytes: u64,
}

impl Layer {
    /// The layer of this key, when it is there and whole.
    #[must_use]
    pub fn find(cache: &Cache, key: &str) -> Option<Self> {
        let folder = cache.folder(KIND, key)?;
        let record: LayerRecord = read_json(&folder.join(RECORD))?;
        let disk = StoredFile { name: DISK.to_owned(), bytes: record.bytes };
        (record.key == key && disk.is_whole(&folder)).then_some(Self { folder, record })
    }

    /// What is said of it.
    #[must_use]
    pub fn record(&self) -> &LayerRecord {
        &self.record
    }

    /// The disk, for a machine to have read-only.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.folder.join(DISK)
    }
}

/// Steps that one machine runs, and the key of the layer that it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Key of the layer.
    pub key: String,
    /// Key of what lies below.
    pub below: String,
    /// The steps, with the number of the first, from 1.
    pub first: usize,
    /// Never empty.
    pub steps: Vec<BuildStep>,
}

/// The layers of a template, lowest first. Each key follows from the one below, its steps' texts, the kernel, and
/// what the machine may reach.
#[must_use]
pub fn plan(image: &str, steps: &[BuildStep], kernel: &str, policy: &str) -> Vec<Planned> {
    let mut below = image.to_owned();
    let mut planned = Vec::new();
    for (index, step) in steps.iter().enumerate().take(LAYERS_MAX) {
        let together = if index + 1 == LAYERS_MAX { &steps[index..] } else { std::slice::from_ref(step) };
        let fixed = [RECIPE, &below, kernel, policy];
        let key = key_of(fixed.into_iter().chain(together.iter().map(|step| step.run.as_str())));
        planned.push(Planned {
            key: key.clone(),
            below: std::mem::replace(&mut below, key),
            first: index + 1,
            steps: together.to_vec(),
        });
    }
    planned
}

/// Identity of what rules permit: where they stand, why, and in which order makes no difference.
#[must_use]
pub fn policy_key(rules: &[NetworkRule], services: &[HostService]) -> String {
    let nowhere = Origin { layer: RuleLayer::Floor, file: None, line: None };
    let bare = |rule: &NetworkRule| {
        let (id, set, why, origin) = (String::new(), None, String::new(), nowhere.clone());
        serde_json::to_string(&NetworkRule { id, set, why, origin, ..rule.clone() }).unwrap_or_default()
    };
    let service = |service: &HostService| {
        let (why, origin) = (String::new(), nowhere.clone());
        serde_json::to_string(&HostService { why, origin, ..service.clone() }).unwrap_or_default()
    };
    let mut lines: Vec<String> = rules.iter().map(bare).chain(services.iter().map(service)).collect();
    lines.sort();
    lines.dedup();
    key_of(lines.iter().map(String::as_str))
}

/// Identity of all that decides what a step hears: what rules permit, and whereto the operator's configuration leads
/// it. Where that says nothing, it is the rules' alone.
#[must_use]
pub fn surroundings_key(
    policy: &str,
    resolve: &BTreeMap<String, SocketAddr>,
    authorities: &[String],
) -> String {
    if resolve.is_empty() && authorities.is_empty() {
        return policy.to_owned();
    }
    let led: Vec<String> = resolve.iter().map(|(name, address)| format!("{name} {address}")).collect();
    let led = [policy].into_iter().chain(led.iter().map(String::as_str)).chain(["authorities"]);
    key_of(led.chain(authorities.iter().map(String::as_str)))
}

/// The benches on the cache at `cache`, also those that killed commands left. Makes nothing.
#[must_use]
pub fn benches(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.join(FORMAT).join("building")).into_iter().flatten().flatten();
    entries.filter(|entry| is_bench(&entry.file_name())).map(|entry| entry.path()).collect()
}

/// Whether an entry of `building/` is a bench.
pub(super) fn is_bench(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(BENCH))
}

/// A place to build layers at, one at a time on this cache. Goes with everything on it when it is dropped.
#[derive(Debug)]
pub struct Bench {
    cache: Cache,
    folder: TempDir,
    _lock: File,
}

impl Cache {
    /// Waits for its turn and sets a bench up. `clear` is shown each bench that a killed command left, before it is
    /// removed: a machine of it may not have ended yet.
    ///
    /// # Errors
    /// When the cache cannot be used.
    pub fn bench(&self, progress: &dyn Progress, clear: &dyn Fn(&Path)) -> Result<Bench, EnsureError> {
        let lock = self.lock(progress)?;
        self.sweep()?;
        let building = self.root().join("building");
        let failed = |source| EnsureError::Cache { path: building.clone(), source };
        for entry in fs::read_dir(&building).map_err(failed)? {
            let left = entry.map_err(failed)?;
            if is_bench(&left.file_name()) {
                clear(&left.path());
                fs::remove_dir_all(left.path()).map_err(failed)?;
            }
        }
        let folder = tempfile::Builder::new().prefix(BENCH).tempdir_in(&building).map_err(failed)?;
        Ok(Bench { cache: self.clone(), folder, _lock: lock })
    }
}

impl Bench {
    /// The folder, for whatever the build needs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps a disk that lies on the bench as a layer. It appears whole or not at all.
    ///
    /// # Errors
    /// When the guest has not left it in order; when the cache cannot be written.
    pub fn keep(&self, disk: &Path, planned: &Planned) -> Result<Layer, EnsureError> {
        let unread = |source| EnsureError::Cache { path: disk.to_owned(), source };
        if !is_in_order(disk).map_err(unread)? {
            return Err(EnsureError::Unclean);
        }
        let work = self.cache.building()?;
        let stored = |source| EnsureError::Cache { path: work.path().to_owned(), source };
        fs::rename(disk, work.path().join(DISK)).map_err(stored)?;
        let bytes = fs::metadata(work.path().join(DISK)).map_err(stored)?.len();
        let record = LayerRecord {
            key: planned.key.clone(),
            below: planned.below.clone(),
            steps: planned.steps.iter().map(|step| step.run.clone()).collect(),
            bytes,
        };
        let json = serde_json::to_vec_pretty(&record).map_err(io::Error::from).map_err(stored)?;
        fs::write(work.path().join(RECORD), json).map_err(stored)?;
        let folder = self.cache.publish(work, KIND, &planned.key)?;
        Ok(Layer { folder, record })
    }
}

/// Whether a disk has an ext4 file system whose journal holds nothing that is still to be written.
fn is_in_order(disk: &Path) -> io::Result<bool> {
    // Linux, Documentation/filesystems/ext4/super.rst: the superblock begins at byte 1024; s_magic at 0x38,
    // s_feature_incompat at 0x60, in which INCOMPAT_RECOVER is 0x4.
    const SUPERBLOCK: u64 = 1024;
    let file = File::open(disk)?;
    let (mut magic, mut incompatible) = ([0; 2], [0; 4]);
    file.read_exact_at(&mut magic, SUPERBLOCK + 0x38)?;
    file.read_exact_at(&mut incompatible, SUPERBLOCK + 0x60)?;
    Ok(u16::from_le_bytes(magic) == 0xef53 && u32::from_le_bytes(incompatible) & 0x4 == 0)
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
