//! The files of an archive in place of those of a folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    ArchiveError, DEPTH_MAX, ENTRY_MAX, FILES_MAX, KitFile, KitFolderError, TOTAL_MAX, kit_files_in,
};
use crate::kit::{discover::Tree, problem::quoted};

/// The files of an archive.
#[derive(Debug)]
pub struct ArchiveTree {
    name: String,
    root: PathBuf,
    files: BTreeMap<String, KitFile>,
}

impl ArchiveTree {
    /// Those of an archive that its user knows as `name`. `root` stands for the folder that it would be.
    ///
    /// # Errors
    /// When it is none that a kit can be.
    pub fn open(name: &str, root: &Path, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let files = kit_files_in(bytes)?.into_iter().map(|file| (file.path.clone(), file)).collect();
        let tree = Self { name: name.to_owned(), root: root.to_owned(), files };
        match tree.only_folder() {
            Some(folder) => Err(ArchiveError::Folder(quoted(folder))),
            None => Ok(tree),
        }
    }

    /// How many bytes its files have together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.files.values().map(|file| file.bytes.len()).sum()
    }

    /// The only folder at its root, where that is all there is: whoever packed the folder meant what lies in it.
    fn only_folder(&self) -> Option<&str> {
        let first = self.files.keys().next()?.split_once('/')?.0;
        let below = |path: &String| path.strip_prefix(first).is_some_and(|rest| rest.starts_with('/'));
        self.files.keys().all(below).then_some(first)
    }
}

impl Tree for ArchiveTree {
    fn root(&self) -> &Path {
        &self.root
    }

    fn commit(&self) -> Option<&str> {
        None
    }

    fn shown(&self, path: &str) -> String {
        format!("{}!{path}", self.name)
    }

    fn list(&self, wanted: &dyn Fn(&str, bool) -> bool) -> Result<Vec<String>, String> {
        let entered = |path: &str| path.match_indices('/').all(|(at, _)| wanted(&path[..at], true));
        let paths = self.files.keys().filter(|path| entered(path) && wanted(path, false));
        Ok(paths.cloned().collect())
    }

    fn read(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>, String> {
        match self.files.get(path) {
            Some(file) if file.bytes.len() > max => Err(format!("it is larger than {} KiB", max >> 10)),
            found => Ok(found.map(|file| file.bytes.clone())),
        }
    }

    fn is_executable(&self, path: &str) -> bool {
        self.files.get(path).is_some_and(|file| file.executable)
    }
}

/// The files of a kit that lies in `folder` of a tree, by the rules that hold for a folder on disk.
///
/// # Errors
/// A link, a submodule, more than the bounds allow.
pub fn kit_files_of(tree: &dyn Tree, folder: &str) -> Result<Vec<KitFile>, KitFolderError> {
    let refused =
        |path: &str, reason: String| KitFolderError::Refused { path: tree.shown(path).into(), reason };
    let towards =
        |path: &str| folder == path || folder.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let inner = |path: &str| match folder {
        "" => Some(path.to_owned()),
        folder => path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned),
    };
    // Names that begin with a full stop are not part of a kit, but among the files that it brings.
    let of_the_kit =
        |inner: &str| inner.starts_with("files/") || inner.split('/').all(|name| !name.starts_with('.'));
    let wanted = |path: &str, is_folder: bool| {
        (is_folder && towards(path)) || inner(path).is_some_and(|inner| of_the_kit(&inner))
    };
    let paths = tree.list(&wanted).map_err(|reason| refused(folder, reason))?;
    if paths.len() > FILES_MAX {
        return Err(refused(folder, format!("a kit has at most {FILES_MAX} files")));
    }
    let (mut files, mut total) = (Vec::new(), 0);
    for path in paths {
        let bytes = tree.read(&path, ENTRY_MAX).map_err(|reason| refused(&path, reason))?;
        let bytes = bytes.ok_or_else(|| refused(&path, "its name is not UTF-8, or it is gone".to_owned()))?;
        total += bytes.len();
        if total > TOTAL_MAX {
            return Err(refused(folder, format!("a kit has at most {} MiB", TOTAL_MAX >> 20)));
        }
        let Some(inner) = inner(&path).filter(|inner| inner.matches('/').count() <= DEPTH_MAX) else {
            return Err(refused(&path, format!("folders of a kit nest at most {DEPTH_MAX} deep")));
        };
        files.push(KitFile { executable: tree.is_executable(&path), path: inner, bytes });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
