//! The files of one commit, within bounds and over no link.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use git2::{ErrorCode, ObjectType, Oid, Repository, Tree};

use super::OBJECT_MAX;
use crate::kit;

/// Deepest folder and most entries that are looked at.
const DEPTH_MAX: usize = 32;
const ENTRIES_MAX: usize = 2_000_000;

/// Modes of entries: a program, a link, and a commit of another repository.
const EXECUTABLE: i32 = 0o100_755;
const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// The files of one commit.
pub struct CommitTree {
    repository: Rc<Repository>,
    commit: String,
    tree: Oid,
    root: PathBuf,
    /// An object that was wanted and is not here.
    missing: Cell<Option<Oid>>,
    /// Files that were read.
    seen: RefCell<BTreeMap<String, Oid>>,
}

impl CommitTree {
    pub(super) fn new(repository: Rc<Repository>, commit: String, tree: Oid, root: PathBuf) -> Self {
        Self { repository, commit, tree, root, missing: Cell::new(None), seen: RefCell::default() }
    }

    /// An object that was wanted since this was made and is not in the repository, hexadecimal.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.missing.get().map(|oid| oid.to_string())
    }

    /// The files that were read since this was made, by their paths from the root.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.borrow().keys().cloned().collect()
    }

    /// Whether a file that was read has exactly this content.
    #[must_use]
    pub fn has(&self, path: &str, content: &[u8]) -> bool {
        let name = Oid::hash_object(ObjectType::Blob, content).ok();
        name.is_some() && self.seen.borrow().get(path).copied() == name
    }

    fn folder(&self, oid: Oid) -> Result<Tree<'_>, String> {
        self.size(oid, OBJECT_MAX)?;
        self.repository.find_tree(oid).map_err(|error| error.message().to_owned())
    }

    /// Fails when an object is larger than `max` bytes.
    fn size(&self, oid: Oid, max: usize) -> Result<(), String> {
        let odb = self.repository.odb().map_err(|error| error.message().to_owned())?;
        let (size, _) = odb.read_header(oid).map_err(|error| {
            if error.code() == ErrorCode::NotFound {
                self.missing.set(Some(oid));
            }
            error.message().to_owned()
        })?;
        if size > max { Err(format!("it is larger than {} KiB", max >> 10)) } else { Ok(()) }
    }

    /// The file at a path, reached over no link, and its mode.
    fn blob(&self, path: &str) -> Result<Option<(Oid, i32)>, String> {
        let mut folder = self.folder(self.tree)?;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let Some((oid, kind, mode)) =
                folder.get_name(part).map(|entry| (entry.id(), entry.kind(), entry.filemode()))
            else {
                return Ok(None);
            };
            if mode == LINK {
                return Err("it is a link or lies behind one, which a repository's files may not".to_owned());
            }
            if mode == SUBMODULE {
                return Err("it lies in another repository (a submodule)".to_owned());
            }
            match (kind, parts.peek()) {
                (Some(ObjectType::Tree), Some(_)) => folder = self.folder(oid)?,
                (Some(ObjectType::Blob), None) => return Ok(Some((oid, mode))),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl kit::Tree for CommitTree {
    fn root(&self) -> &Path {
        &self.root
    }

    fn commit(&self) -> Option<&str> {
        Some(&self.commit)
    }

    fn list(&self, wanted: &dyn Fn(&str, bool) -> bool) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), self.tree, 0)];
        let mut entries = 0;
        while let Some((path, oid, depth)) = open.pop() {
            if depth > DEPTH_MAX {
                return Err(format!("folders nest more than {DEPTH_MAX} deep; name a folder further inside"));
            }
            for entry in &self.folder(oid)? {
                entries += 1;
                if entries > ENTRIES_MAX {
                    return Err(format!("more than {ENTRIES_MAX} entries; name a folder further inside"));
                }
                // A name that is not UTF-8 leads nowhere when it is read, and says so there.
                let name = String::from_utf8_lossy(entry.name_bytes());
                let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
                match entry.kind() {
                    Some(ObjectType::Tree) if wanted(&path, true) => open.push((path, entry.id(), depth + 1)),
                    // A submodule is among the files, so that reading it says why it is refused.
                    Some(ObjectType::Blob | ObjectType::Commit) if wanted(&path, false) => found.push(path),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    fn read(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>, String> {
        let Some((oid, _)) = self.blob(path)? else { return Ok(None) };
        self.size(oid, max)?;
        let blob = self.repository.find_blob(oid).map_err(|error| error.message().to_owned())?;
        self.seen.borrow_mut().insert(path.to_owned(), oid);
        Ok(Some(blob.content().to_vec()))
    }

    fn is_executable(&self, path: &str) -> bool {
        matches!(self.blob(path), Ok(Some((_, EXECUTABLE))))
    }
}
