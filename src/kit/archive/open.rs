//! An archive of anybody as files: which form it has, and what every form is held to.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{ARCHIVE_MAX, DEPTH_MAX, ENTRY_MAX, FILES_MAX, KitFile, TOTAL_MAX, gzip, tar, zip};
use crate::kit::problem::{is_unprintable, quoted};

/// Longest path of an entry, in bytes.
const PATH_MAX: usize = 1_024;

/// Why an archive is refused, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is none, or a damaged one.
    #[error("{0}")]
    Form(&'static str),
    /// It is more than a kit may be.
    #[error("a kit's archive has at most {0}")]
    TooLarge(String),
    /// A folder with a kit, in place of the kit.
    #[error("all of it lies in a folder {0}; pack what is in there: `tar -C FOLDER -cf kit.tar .`")]
    Folder(String),
    /// An entry that a kit does not hold.
    #[error("its entry {name} {reason}")]
    Entry {
        /// Which, as it may be shown.
        name: String,
        /// Why.
        reason: &'static str,
    },
}

pub(super) fn entry<T>(name: &[u8], reason: &'static str) -> Result<T, ArchiveError> {
    Err(ArchiveError::Entry { name: quoted(&String::from_utf8_lossy(name)), reason })
}

/// The files of an archive, sorted by path: a tar, a tar in gzip, or a ZIP.
///
/// # Errors
/// What makes it none, or one that a kit cannot be.
pub fn kit_files_in(bytes: &[u8]) -> Result<Vec<KitFile>, ArchiveError> {
    if bytes.len() > ARCHIVE_MAX {
        return Err(ArchiveError::TooLarge(format!("{} MiB", ARCHIVE_MAX >> 20)));
    }
    let mut found = Gathered::default();
    if bytes.starts_with(&gzip::MAGIC) {
        tar::read(&gzip::inflate(bytes)?, &mut found)?;
    } else if bytes.starts_with(&zip::MAGIC) {
        zip::read(bytes, &mut found)?;
    } else {
        tar::read(bytes, &mut found)?;
    }
    found.finish()
}

/// What was read of an archive so far.
#[derive(Default)]
pub(super) struct Gathered {
    files: BTreeMap<String, KitFile>,
    entries: usize,
    total: usize,
}

impl Gathered {
    /// An entry of any sort: how many there are is bounded before anything is looked at.
    pub(super) fn count(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        // A folder may have an entry too.
        if self.entries > 2 * FILES_MAX {
            return Err(ArchiveError::TooLarge(format!("{FILES_MAX} files")));
        }
        Ok(())
    }

    /// A folder: nothing of it is kept, and its name is held to the same.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        let name = name.strip_suffix(b"/").unwrap_or(name);
        // `tar -C kit -c .` begins with the folder itself.
        if matches!(name, b"." | b"") { Ok(()) } else { plain(name).map(drop) }
    }

    /// How many bytes an entry of this name may be inflated to.
    pub(super) fn room(&self, name: &[u8], size: usize) -> Result<(), ArchiveError> {
        if size > ENTRY_MAX {
            return entry(name, "is larger than a kit's file may be");
        }
        if self.total + size > TOTAL_MAX || self.files.len() == FILES_MAX {
            return Err(ArchiveError::TooLarge(format!("{FILES_MAX} files and {} MiB", TOTAL_MAX >> 20)));
        }
        Ok(())
    }

    pub(super) fn file(&mut self, name: &[u8], bytes: &[u8], executable: bool) -> Result<(), ArchiveError> {
        self.room(name, bytes.len())?;
        let path = plain(name)?;
        self.total += bytes.len();
        match self.files.entry(path) {
            Entry::Occupied(_) => entry(name, "stands twice"),
            Entry::Vacant(vacant) => {
                let path = vacant.key().clone();
                vacant.insert(KitFile { path, bytes: bytes.to_vec(), executable });
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Vec<KitFile>, ArchiveError> {
        for path in self.files.keys() {
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(file) = above.into_iter().find(|above| self.files.contains_key(*above)) {
                return entry(file.as_bytes(), "is a file and a folder");
            }
        }
        Ok(self.files.into_values().collect())
    }
}

/// The path of an entry, if it is relative, plain, and one that a person can read.
fn plain(name: &[u8]) -> Result<String, ArchiveError> {
    let Ok(text) = std::str::from_utf8(name) else { return entry(name, "is not UTF-8") };
    if text.len() > PATH_MAX {
        return entry(name, "has a path that is too long");
    }
    if text.chars().any(|sign| is_unprintable(sign) || matches!(sign, '\t' | '\n' | '\r' | '\u{85}' | '\\')) {
        return entry(name, "has a sign in its name that no file of a kit has");
    }
    let mut path = text;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if path.starts_with('/') {
        return entry(name, "has an absolute path");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return entry(name, "has a path that is not plain");
    }
    if path.split('/').count() > DEPTH_MAX + 1 {
        return entry(name, "lies too deep");
    }
    Ok(path.to_owned())
}
