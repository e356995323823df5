//! The cache: its layout, its lock, and how a folder appears whole or not at all. See [`super`] for the drawing.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::{
    base::{self, BaseTemplate},
    host::{Host, read_bounded},
    image,
    kernel::{self, Kernel},
    layer,
    modinfo::OrderError,
    progress::{Progress, Report, Step},
    requirement::{self, Requirement},
    tool::ToolError,
};

/// Another layout is another folder: an older cofferdam never reads what it does not understand.
pub(super) const FORMAT: &str = "v1";
const RECORD_LIMIT: u64 = 256 * 1024;

/// Why the cache could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// The folder cannot be used.
    #[error("cannot use the cache at {}", .path.display())]
    Cache {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Programs are missing; nothing was begun.
    #[error("this host lacks {}: {}", names(.missing), .command.as_deref().unwrap_or("install them with this system's package manager"))]
    HostLacks {
        /// The programs.
        missing: Vec<Requirement>,
        /// The line that brings them, where one is known.
        command: Option<String>,
    },
    /// The host's package sources do not say where its own release comes from.
    #[error(
        "the package sources of this host ({distribution}) have no entry for its own release, which the base template is built from; look at /etc/apt/sources.list and /etc/apt/sources.list.d"
    )]
    NoSources {
        /// The distribution.
        distribution: String,
    },
    /// A package is not to be had, most often because the lists are old.
    #[error("cannot fetch {package}; the package lists may be out of date: run `{command}` and try again")]
    Fetch {
        /// The package.
        package: String,
        /// The command that refreshes the lists.
        command: String,
        /// What apt said.
        source: ToolError,
    },
    /// A text that is not the name of a package.
    #[error(
        "`{name}` is not the name of a package: lower-case letters, digits, `+`, `-` and `.`, beginning with a letter or digit"
    )]
    PackageName {
        /// The text.
        name: String,
    },
    /// No package of this name is known here.
    #[error("the package lists of this host ({distribution}) know no package `{name}`")]
    UnknownPackage {
        /// The name.
        name: String,
        /// The distribution.
        distribution: String,
        /// The command that refreshes the lists.
        command: String,
    },
    /// A package is to be had in another version than the pinned one only.
    #[error("the package `{name}` is pinned to {pinned}, and what is to be had here is {available}")]
    PinnedPackage {
        /// The name.
        name: String,
        /// The version that `sandbox.lock` pins.
        pinned: String,
        /// The versions that there are.
        available: String,
    },
    /// A build step's machine ended without its disk being in order.
    #[error("the machine of a template's step did not leave its disk in order")]
    Unclean,
    /// A tool failed.
    #[error("cannot build the {}", .step.title())]
    Tool {
        /// What was being built.
        step: Step,
        /// What failed.
        source: ToolError,
    },
    /// A package holds something else than we know.
    #[error("the kernel package is not as expected: {problem}")]
    UnknownKernel {
        /// What is odd.
        problem: String,
    },
    /// The kernel lacks a module that a machine needs.
    #[error("this kernel cannot run a sandbox")]
    Modules(#[from] OrderError),
}

fn names(missing: &[Requirement]) -> String {
    missing.iter().map(|one| one.program).collect::<Vec<_>>().join(", ")
}

/// What a machine boots from.
#[derive(Debug, Clone)]
pub struct Boot {
    /// Kernel and modules.
    pub kernel: Kernel,
    /// Root file system.
    pub base: BaseTemplate,
}

/// An opened cache. Cheap: holds a path, no lock.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the cache below `folder` and makes its folders, readable by this user alone.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(folder: &Path) -> Result<Self, EnsureError> {
        let cache = Self { root: folder.join(FORMAT) };
        for part in ["building", kernel::KIND, base::KIND, image::KIND, layer::KIND] {
            let path = cache.root.join(part);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|source| EnsureError::Cache { path, source })?;
        }
        Ok(cache)
    }

    /// The cache below `folder`, to look into: nothing is made, and what is not there is not found.
    #[must_use]
    pub fn unopened(folder: &Path) -> Self {
        Self { root: folder.join(FORMAT) }
    }

    /// The folder of this format.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is there and whole; `None` when something has to be built. Takes no lock and starts no process.
    #[must_use]
    pub fn find(&self) -> Option<Boot> {
        Some(Boot { kernel: Kernel::find(self)?, base: BaseTemplate::find(self)? })
    }

    /// Builds what is missing; with nothing to do it takes a few system calls. Two at a time do not collide:
    /// the second waits for the first and then finds its work done.
    ///
    /// # Errors
    /// See [`EnsureError`]. Nothing half-made stays under a final name.
    pub fn ensure(&self, host: &Host, progress: &dyn Progress) -> Result<Boot, EnsureError> {
        if let Some(boot) = self.find() {
            return Ok(boot);
        }
        let missing = requirement::missing(host);
        if !missing.is_empty() {
            let commands = requirement::install_commands(&missing, &host.distribution(), host.superuser);
            return Err(EnsureError::HostLacks {
                missing,
                command: commands.map(|one| requirement::shell_line(&one)),
            });
        }
        let _lock = self.lock(progress)?;
        self.sweep()?;
        let kernel = match Kernel::find(self) {
            Some(kernel) => kernel,
            None => kernel::build(self, host, progress)?,
        };
        let base = match BaseTemplate::find(self) {
            Some(base) => base,
            None => base::build(self, host, progress)?,
        };
        Ok(Boot { kernel, base })
    }

    /// A folder for work in progress. The caller holds the lock.
    pub(super) fn building(&self) -> Result<TempDir, EnsureError> {
        let folder = self.root.join("building");
        tempfile::Builder::new()
            .prefix("")
            .tempdir_in(&folder)
            .map_err(|source| EnsureError::Cache { path: folder, source })
    }

    /// Gives finished work its final name, in one step.
    pub(super) fn publish(&self, work: TempDir, kind: &str, digest: &str) -> Result<PathBuf, EnsureError> {
        let folder = self.root.join(kind).join(digest);
        let publish = || {
            for entry in fs::read_dir(work.path())? {
                let file = File::open(entry?.path())?;
                // Whatever the umask: a jailed process of another uid opens the kernel again by its descriptor.
                file.set_permissions(fs::Permissions::from_mode(0o644))?;
                file.sync_all()?;
            }
            File::open(work.path())?.sync_all()?;
            if folder.exists() {
                // The same content was there, perhaps damaged. What was there goes when `work` goes.
                renameat_with(CWD, work.path(), CWD, &folder, RenameFlags::EXCHANGE)?;
            } else {
                fs::rename(work.path(), &folder)?;
                drop(work.keep());
            }
            File::open(self.root.join(kind))?.sync_all()
        };
        publish().map_err(|source| EnsureError::Cache { path: folder.clone(), source })?;
        Ok(folder)
    }

    /// Makes a record current.
    pub(super) fn write_record(&self, kind: &str, record: &impl Serialize) -> Result<(), EnsureError> {
        let path = self.root.join(format!("{kind}.json"));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.root)?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|source| EnsureError::Cache { path: path.clone(), source })
    }

    /// The current record of a kind; `None` where there is none or it is damaged.
    pub(super) fn read_record<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        let bytes = read_bounded(&self.root.join(format!("{kind}.json")), RECORD_LIMIT).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The folder of a digest; `None` where the text is no digest, so that a damaged record names no other place.
    pub(super) fn folder(&self, kind: &str, digest: &str) -> Option<PathBuf> {
        let plausible = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        plausible.then(|| self.root.join(kind).join(digest))
    }

    pub(super) fn lock(&self, progress: &dyn Progress) -> Result<File, EnsureError> {
        let path = self.root.join("lock");
        let lock = || {
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    progress.report(Report::Started(Step::Waiting));
                    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
                    progress.report(Report::Finished(Step::Waiting));
                }
                other => other?,
            }
            Ok(file)
        };
        lock().map_err(|source| EnsureError::Cache { path: path.clone(), source })
    }

    /// Removes what killed builds left. The caller holds the lock, so nobody is at work here. Benches are left to
    /// [`layer`]: a machine may stand on one that has not noticed the end of its command yet.
    pub(super) fn sweep(&self) -> Result<(), EnsureError> {
        let path = self.root.join("building");
        let sweep = || {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if !layer::is_bench(&entry.file_name()) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            Ok(())
        };
        sweep().map_err(|source| EnsureError::Cache { path: path.clone(), source })
    }
}

/// A file of a cached folder, with the size that tells a whole one from a damaged one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(super) struct StoredFile {
    pub(super) name: String,
    pub(super) bytes: u64,
}

impl StoredFile {
    pub(super) fn measure(folder: &Path, name: &str) -> io::Result<Self> {
        Ok(Self { name: name.to_owned(), bytes: fs::metadata(folder.join(name))?.len() })
    }

    pub(super) fn is_whole(&self, folder: &Path) -> bool {
        fs::symlink_metadata(folder.join(&self.name))
            .is_ok_and(|found| found.is_file() && found.len() == self.bytes)
    }
}

/// SHA-256 over parts, each with its length, in hexadecimal: no two lists of parts have one key.
pub(super) fn key_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of files, in order, in hexadecimal.
pub(super) fn digest_of(folder: &Path, names: &[&str]) -> io::Result<String> {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for name in names {
        io::copy(&mut File::open(folder.join(name))?, &mut hash)?;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
