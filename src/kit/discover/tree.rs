//! Files of a commit or an archive in place of those on disk: what a pull request is judged by, and kits from elsewhere.
//! Nothing of the host is looked at.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use super::{
    BYTES_MAX, DEFAULT_FILE, DEFAULT_FOLDER, DiscoverError, Discovered, FILES_MAX, FoundFile, SourceFile,
    TOTAL_MAX, Unread, files_beneath, folders_beneath, read_beneath, refused, walk,
};
use crate::kit::{lock::LOCK_FILE, parse::FILE_MAX};

/// The files of a commit or of an archive. Paths are relative to its root, with `/`, without `.` and `..`.
pub trait Tree {
    /// Where the repository's working tree lies, or the archive: what paths in documents are named from.
    fn root(&self) -> &Path;

    /// The commit, hexadecimal; none for an archive.
    fn commit(&self) -> Option<&str>;

    /// A path as its user knows it.
    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }

    /// The paths of all entries but folders, for which `wanted` says so; folders for which it says no are not entered.
    ///
    /// # Errors
    /// Why they cannot be listed, within bounds.
    fn list(&self, wanted: &dyn Fn(&str, bool) -> bool) -> Result<Vec<String>, String>;

    /// The bytes of a regular file of at most `max` bytes, reached over no link; none where nothing is there.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>, String>;

    /// Whether the owner of the file there may execute it.
    fn is_executable(&self, path: &str) -> bool;
}

/// A commit's files, and which of them are meant.
#[derive(Clone)]
pub struct Snapshot {
    /// The files.
    pub tree: Rc<dyn Tree>,
    /// A file or folder, from the root; none: the usual places, from `folder` upwards.
    pub path: Option<PathBuf>,
    /// The working directory, from the root.
    pub folder: PathBuf,
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.tree, &other.tree) && self.path == other.path && self.folder == other.folder
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?} {:?}", self.tree.root().display(), self.tree.commit(), self.path)
    }
}

/// `path` without `.` and `..`; none where it leads out. The text decides, no link is looked at.
pub(in crate::kit) fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            part => plain.push(part),
        }
    }
    Some(plain)
}

/// The bytes of a file below `base`: of the commit, where there is one.
pub(in crate::kit) fn read_in(
    tree: Option<&Snapshot>,
    base: &Path,
    relative: &Path,
    max: usize,
) -> Result<Vec<u8>, Unread> {
    let Some(snapshot) = tree else { return read_beneath(base, relative, max) };
    let outside = || Unread::Refused("it lies outside of the repository".to_owned());
    let path = plain(relative).filter(|_| base == snapshot.tree.root()).ok_or_else(outside)?;
    let read = snapshot.tree.read(&path.to_string_lossy(), max).map_err(Unread::Refused)?;
    read.ok_or(Unread::NotThere)
}

/// All files below a folder: of the commit, where there is one.
pub(in crate::kit) fn files_in(
    tree: Option<&Snapshot>,
    base: &Path,
    folder: &Path,
) -> Result<Vec<FoundFile>, Unread> {
    let Some(snapshot) = tree else { return files_beneath(base, folder) };
    let folder = plain(folder).ok_or(Unread::NotThere)?.to_string_lossy().into_owned();
    let below = |path: &str| path.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/'));
    let towards =
        |path: &str| path == folder || folder.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let wanted = |path: &str, is_folder: bool| below(path) || (is_folder && towards(path));
    let mut paths = snapshot.tree.list(&wanted).map_err(Unread::Refused)?;
    if paths.is_empty() {
        return Err(Unread::NotThere);
    }
    if paths.len() > FILES_MAX {
        return Err(Unread::Refused(format!("more than {FILES_MAX} files")));
    }
    paths.sort_unstable();
    let file = |path: String| {
        let bytes = read_in(tree, base, Path::new(&path), BYTES_MAX).map_err(|error| match error {
            Unread::NotThere => Unread::Refused(format!("{path:?} is gone, or its name is not UTF-8")),
            Unread::Refused(reason) => Unread::Refused(format!("{path}: {reason}")),
        })?;
        let executable = snapshot.tree.is_executable(&path);
        let path = path[folder.len() + 1..].to_owned();
        Ok(FoundFile { path, executable, bytes })
    };
    paths.into_iter().map(file).collect()
}

/// The names of the folders in a folder: of the commit, where there is one.
pub(in crate::kit) fn folders_in(
    tree: Option<&Snapshot>,
    base: &Path,
    folder: &Path,
) -> Result<Vec<String>, Unread> {
    let Some(snapshot) = tree else { return folders_beneath(base, folder) };
    let folder = plain(folder).ok_or(Unread::NotThere)?.to_string_lossy().into_owned();
    let below =
        |path: &str| Some(path.strip_prefix(&folder)?.strip_prefix('/')?.split_once('/')?.0.to_owned());
    let towards =
        |path: &str| path == folder || folder.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let near = |path: &str| path.strip_prefix(&folder).is_some_and(|rest| rest.matches('/').count() <= 2);
    let wanted = |path: &str, is_folder: bool| near(path) || (is_folder && towards(path));
    let paths = snapshot.tree.list(&wanted).map_err(Unread::Refused)?;
    let names: std::collections::BTreeSet<String> = paths.iter().filter_map(|path| below(path)).collect();
    Ok(names.into_iter().take(FILES_MAX).collect())
}

/// Finds and reads the documents of a commit, by the rules that hold on disk.
pub(super) fn discover(snapshot: &Snapshot) -> Result<Discovered, DiscoverError> {
    let root = snapshot.tree.root().to_owned();
    match &snapshot.path {
        Some(path) => {
            let path = plain(path).ok_or_else(|| DiscoverError::NotFound(root.join(path)))?;
            from(snapshot, &path)?.ok_or_else(|| DiscoverError::NotFound(root.join(path)))
        }
        None => {
            for dir in snapshot.folder.ancestors() {
                for name in [DEFAULT_FILE, DEFAULT_FOLDER] {
                    if let Some(found) = from(snapshot, &dir.join(name))? {
                        return Ok(found);
                    }
                }
            }
            Err(DiscoverError::NothingHere(root.join(&snapshot.folder)))
        }
    }
}

/// The documents of a file or folder; none where nothing is there.
fn from(snapshot: &Snapshot, path: &Path) -> Result<Option<Discovered>, DiscoverError> {
    let folder = path.to_string_lossy().into_owned();
    if !folder.is_empty()
        && let Some(file) = source(snapshot, &folder)?
    {
        let beside = path.parent().unwrap_or(Path::new(""));
        return found(snapshot, vec![file], beside).map(Some);
    }
    let names = paths(snapshot, &folder)?;
    if names.is_empty() {
        return Ok(None);
    }
    let mut files = Vec::with_capacity(names.len());
    let mut total = 0;
    for name in &names {
        let Some(file) = source(snapshot, name)? else { continue };
        total += file.bytes.len();
        if total > TOTAL_MAX {
            return refused(path, format!("its files hold more than {} MiB together", TOTAL_MAX >> 20));
        }
        files.push(file);
    }
    found(snapshot, files, path).map(Some)
}

/// The paths below `folder` that name our files.
fn paths(snapshot: &Snapshot, folder: &str) -> Result<Vec<String>, DiscoverError> {
    let below = |path: &str| match path.strip_prefix(folder) {
        Some(_) if folder.is_empty() => true,
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    let wanted = |path: &str, is_folder: bool| {
        let name = path.rsplit('/').next().unwrap_or_default();
        if is_folder {
            // On the way to the folder, or below it and not hidden.
            let towards =
                folder.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            return towards || (below(path) && (!name.starts_with('.') || name == DEFAULT_FOLDER));
        }
        let parent = path.rsplit('/').nth(1);
        below(path) && walk::is_ours(name, parent == Some(DEFAULT_FOLDER))
    };
    let place = snapshot.tree.root().join(folder);
    let mut names = snapshot
        .tree
        .list(&wanted)
        .map_err(|reason| DiscoverError::Refused { path: place.clone(), reason })?;
    if names.len() > FILES_MAX {
        return refused(&place, format!("more than {FILES_MAX} files; name a folder further inside"));
    }
    names.sort_unstable();
    Ok(names)
}

fn found(snapshot: &Snapshot, files: Vec<SourceFile>, beside: &Path) -> Result<Discovered, DiscoverError> {
    let name = beside.join(LOCK_FILE).to_string_lossy().into_owned();
    let base = snapshot.tree.root().to_owned();
    Ok(Discovered {
        files,
        repository: None,
        lock_path: Some(base.join(&name)),
        lock: source(snapshot, &name)?,
        base,
    })
}

fn source(snapshot: &Snapshot, name: &str) -> Result<Option<SourceFile>, DiscoverError> {
    let path = snapshot.tree.root().join(name);
    let read = snapshot.tree.read(name, FILE_MAX);
    let bytes = read.map_err(|reason| DiscoverError::Refused { path: path.clone(), reason })?;
    Ok(bytes.map(|bytes| {
        let commit = snapshot.tree.commit().map(str::to_owned);
        let mut file = SourceFile::new(&snapshot.tree.shown(name), path, snapshot.tree.root(), bytes, commit);
        file.tree = Some(snapshot.clone());
        file
    }))
}
