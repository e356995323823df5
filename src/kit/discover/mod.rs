//! Which files describe sandboxes, and reading them: the repository may have been written by an agent.
//!
//! Every file is opened from the repository's root (outside of one: from its own folder) without crossing a link,
//! must be regular with one link, and is bounded. A link would let a repository show the host's own files in an
//! error message; a second link, a file that someone else still writes.

mod beneath;
mod checkout;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use checkout::Checkout;

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{lock::LOCK_FILE, parse::FILE_MAX, repository::Repository, typed::COMMAND_LINE};
use crate::model::desired::Provenance;

use beneath::BYTES_MAX;
pub(super) use beneath::{FoundFile, Unread, files_beneath, folders_beneath, read_beneath};
pub use tree::{Snapshot, Tree};
pub(in crate::kit) use tree::{files_in, folders_in, plain, read_in};

/// The file that is looked for first.
const DEFAULT_FILE: &str = "sandbox.yaml";
/// What one person says beside it, which is not committed.
pub(super) const LOCAL_FILE: &str = "sandbox.local.yaml";
/// The folder that is looked for next.
const DEFAULT_FOLDER: &str = ".cofferdam";
/// Most files that one folder may yield, and their bytes together.
const FILES_MAX: usize = 20_000;
const TOTAL_MAX: usize = 64 << 20;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// `sandbox.yaml`, else `.cofferdam/`, from the current folder up to the repository's root.
    Default,
    /// This file or folder.
    Path(PathBuf),
    /// These bytes, from standard input.
    Stdin(Vec<u8>),
    /// The document that a command line stands for. It has no file.
    CommandLine(Vec<u8>),
    /// Files of a commit; nothing of the host is looked at.
    Tree(Snapshot),
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    /// As its user knows it: from the repository's root, else as named.
    pub(super) name: String,
    /// Absolute path; for standard input that of a file in the working directory.
    pub(super) path: PathBuf,
    /// The repository's root, else the file's folder: where `workspace.path` starts.
    pub(super) base: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// What status and audit say of it.
    pub(super) provenance: Provenance,
    /// The commit or archive that it was read from, where it was not read from disk.
    pub(super) tree: Option<Snapshot>,
}

impl SourceFile {
    /// Whether it came over standard input, so that nothing lies beside it.
    pub(super) fn is_standard_input(&self) -> bool {
        self.path.ends_with("-")
    }

    /// Whether it lies in no folder of this host, and in no repository's commit.
    pub(super) fn is_of_an_archive(&self) -> bool {
        self.tree.as_ref().is_some_and(|snapshot| snapshot.tree.commit().is_none())
    }

    /// The folder that it lies in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.base)
    }

    /// A file with these bytes, while `commit` is checked out.
    pub(super) fn new(
        name: &str,
        path: PathBuf,
        base: &Path,
        bytes: Vec<u8>,
        commit: Option<String>,
    ) -> Self {
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let provenance = Provenance { file: Some(path.clone()), file_digest: Some(digest), commit };
        Self { name: name.to_owned(), path, base: base.to_owned(), bytes, provenance, tree: None }
    }

    /// The bytes of another file, by its path from `base`.
    pub(super) fn beside(&self, relative: &Path, max: usize) -> Result<Vec<u8>, Unread> {
        read_in(self.tree.as_ref(), &self.base, relative, max)
    }
}

/// Why files could not be found or read.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// Nothing to read by default.
    #[error("there is no {DEFAULT_FILE} and no {DEFAULT_FOLDER}/ in {} or above it; `init` writes one", .0.display())]
    NothingHere(PathBuf),
    /// The named path is not there.
    #[error("{} is not there", .0.display())]
    NotFound(PathBuf),
    /// Not something that this reads.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The system would not.
    #[error("{} cannot be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was found.
#[derive(Debug)]
pub(super) struct Discovered {
    pub(super) files: Vec<SourceFile>,
    pub(super) repository: Option<Repository>,
    /// The repository's root, else the folder that stands for it.
    pub(super) base: PathBuf,
    /// Where the lock file lies or would lie; none for standard input.
    pub(super) lock_path: Option<PathBuf>,
    /// The lock file, where there is one.
    pub(super) lock: Option<SourceFile>,
}

/// Finds and reads the files of a selection. `folder` is the working directory.
pub(super) fn discover(selection: Selection, folder: &Path) -> Result<Discovered, DiscoverError> {
    match selection {
        Selection::Stdin(bytes) => {
            let root = Root::of(folder)?;
            let file = root.source("standard input", folder.join("-"), bytes);
            Ok(root.found(vec![file], None, None))
        }
        Selection::CommandLine(bytes) => {
            let root = Root::of(folder)?;
            let mut file = root.source(COMMAND_LINE, folder.join("-"), bytes);
            file.provenance.file = None;
            Ok(root.found(vec![file], None, None))
        }
        Selection::Path(path) => named(&folder.join(path)),
        Selection::Tree(snapshot) => tree::discover(&snapshot),
        Selection::Default => {
            let root = Root::of(folder)?;
            let start = canonical(folder)?;
            for dir in start.ancestors().take_while(|dir| dir.starts_with(&root.path)) {
                if exists(&dir.join(DEFAULT_FILE)) {
                    return root.read_file(&dir.join(DEFAULT_FILE));
                }
                if exists(&dir.join(DEFAULT_FOLDER)) {
                    return root.read_folder(&dir.join(DEFAULT_FOLDER));
                }
            }
            Err(DiscoverError::NothingHere(start))
        }
    }
}

/// Reads one file of at most `max` bytes that a person named, as every file of a repository is read: over no link, regular.
///
/// # Errors
/// That it is not there, or is no such file.
pub fn read_file(path: &Path, max: usize) -> Result<Vec<u8>, DiscoverError> {
    let (root, path) = beside(path)?;
    root.load(&path, max).map(|file| file.bytes)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DiscoverError {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => DiscoverError::NotFound(path.to_owned()),
        _ => DiscoverError::Io { path: path.to_owned(), source },
    }
}

fn refused<T>(path: &Path, reason: impl Into<String>) -> Result<T, DiscoverError> {
    Err(DiscoverError::Refused { path: path.to_owned(), reason: reason.into() })
}

fn canonical(path: &Path) -> Result<PathBuf, DiscoverError> {
    path.canonicalize().map_err(io_error(path))
}

/// Reads a path that a person named. The folder it lies in may be reached over links; the file itself may not.
fn named(path: &Path) -> Result<Discovered, DiscoverError> {
    let found = path.symlink_metadata().map_err(io_error(path))?;
    if found.is_symlink() && !path.is_dir() {
        return refused(path, "this is a link; name the file that it leads to");
    }
    if found.is_dir() || path.is_dir() {
        let folder = canonical(path)?;
        return Root::of(&folder)?.read_folder(&folder);
    }
    let (root, path) = beside(path)?;
    root.read_file(&path)
}

/// The root for a file that a person named, and its path with no link in its folders.
fn beside(path: &Path) -> Result<(Root, PathBuf), DiscoverError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return refused(path, "this names no file");
    };
    let parent = canonical(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    Ok((Root::of(&parent)?, parent.join(name)))
}

/// The folder from which files are opened.
struct Root {
    path: PathBuf,
    repository: Option<Repository>,
    commit: Option<String>,
    descriptor: OwnedFd,
}

impl Root {
    fn of(folder: &Path) -> Result<Self, DiscoverError> {
        let repository = Repository::find(folder).map_err(io_error(folder))?;
        let path = match &repository {
            Some(repository) => repository.root.clone(),
            None => canonical(folder)?,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor =
            openat(CWD, &path, flags, Mode::empty()).map_err(|error| io_error(&path)(error.into()))?;
        let commit = repository.as_ref().and_then(Repository::head_commit);
        Ok(Self { path, repository, commit, descriptor })
    }

    fn source(&self, name: &str, path: PathBuf, bytes: Vec<u8>) -> SourceFile {
        SourceFile::new(name, path, &self.path, bytes, self.commit.clone())
    }

    /// Opens below the root, over no link.
    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, DiscoverError> {
        let relative = path.strip_prefix(&self.path).ok().filter(|relative| !relative.as_os_str().is_empty());
        let relative = relative.unwrap_or(Path::new("."));
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // With O_PATH nothing is opened, and nothing could block; openat2 refuses the flag beside it.
        let waits = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NONBLOCK };
        let flags = flags | waits | OFlags::RDONLY | OFlags::CLOEXEC;
        openat2(&self.descriptor, relative, flags, Mode::empty(), resolve).map_err(|error| match error {
            Errno::LOOP => DiscoverError::Refused {
                path: path.to_owned(),
                reason: "it is a link or lies behind one, which a repository's files may not".to_owned(),
            },
            Errno::NOSYS => DiscoverError::Refused {
                path: path.to_owned(),
                reason: "this kernel cannot open files safely (openat2 is missing; Linux 5.6 has it)"
                    .to_owned(),
            },
            error => io_error(path)(error.into()),
        })
    }

    fn found(
        self,
        files: Vec<SourceFile>,
        lock_path: Option<PathBuf>,
        lock: Option<SourceFile>,
    ) -> Discovered {
        Discovered { files, base: self.path, repository: self.repository, lock_path, lock }
    }

    /// The lock file of a folder.
    fn lock(&self, folder: &Path) -> Result<(PathBuf, Option<SourceFile>), DiscoverError> {
        let path = folder.join(LOCK_FILE);
        match self.load(&path, FILE_MAX) {
            Ok(file) => Ok((path, Some(file))),
            Err(DiscoverError::NotFound(_)) => Ok((path, None)),
            Err(error) => Err(error),
        }
    }

    fn read_file(self, path: &Path) -> Result<Discovered, DiscoverError> {
        let file = self.load(path, FILE_MAX)?;
        let (lock_path, lock) = self.lock(path.parent().unwrap_or(&self.path))?;
        Ok(self.found(vec![file], Some(lock_path), lock))
    }

    fn read_folder(self, folder: &Path) -> Result<Discovered, DiscoverError> {
        let paths = walk::walk(&self, folder)?;
        let mut files = Vec::with_capacity(paths.len());
        let mut total = 0;
        for path in paths {
            let file = self.load(&path, FILE_MAX)?;
            total += file.bytes.len();
            if total > TOTAL_MAX {
                return refused(folder, format!("its files hold more than {} MiB together", TOTAL_MAX >> 20));
            }
            files.push(file);
        }
        // `.cofferdam/` stands for the folder that it lies in.
        let own = folder.file_name().is_some_and(|name| name == DEFAULT_FOLDER);
        let beside = if own { folder.parent().filter(|parent| parent.starts_with(&self.path)) } else { None };
        let (lock_path, lock) = self.lock(beside.unwrap_or(folder))?;
        Ok(self.found(files, Some(lock_path), lock))
    }

    fn load(&self, path: &Path, max: usize) -> Result<SourceFile, DiscoverError> {
        let file = File::from(self.open(path, OFlags::empty())?);
        let found = file.metadata().map_err(io_error(path))?;
        if !found.is_file() {
            return refused(
                path,
                "this is neither a file nor a folder; where a command reads standard input, `-` stands for it",
            );
        }
        if found.nlink() != 1 {
            return refused(
                path,
                "the file has a second name (hard link); copy it, so that nobody else writes it",
            );
        }
        if found.len() > max as u64 {
            let most =
                if max < 1 << 20 { format!("{} KiB", max >> 10) } else { format!("{} MiB", max >> 20) };
            return refused(path, format!("a file has at most {most}"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
        file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(io_error(path))?;
        let inside = self.repository.is_some();
        let name = if inside { path.strip_prefix(&self.path).unwrap_or(path) } else { path };
        Ok(self.source(&name.to_string_lossy(), path.to_owned(), bytes))
    }
}
