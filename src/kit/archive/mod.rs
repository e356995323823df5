//! A kit's files as data: of a folder, and of an archive that is read into memory and never unpacked to disk.
//!
//! ```text
//! folder ─ kit_files ─▶ [KitFile] ─ kit_archive ─▶ tar ─┐
//!             tar, tar.gz, zip of anybody ──────────────┴─ open ─▶ [KitFile] ─▶ ArchiveTree, a `discover::Tree`
//! ```
//!
//! What is written is a plain tar (POSIX ustar): sorted, without times, owners and anything that depends on the host. What
//! is read may be anybody's: it holds regular files with plain relative names, each once, bounded in number and size
//! before and after it is inflated. A link, a device, a name that leads out: the whole archive is refused.

mod folder;
mod gzip;
mod open;
mod tar;
#[cfg(test)]
mod tests;
mod tree;
mod zip;

use std::{
    io,
    path::{Path, PathBuf},
};

use super::parse::FILE_MAX;

pub use folder::kit_files;
pub use open::{ArchiveError, kit_files_in};
pub use tar::kit_archive;
pub use tree::{ArchiveTree, kit_files_of};

/// Most files of a kit, bytes of one, all their bytes together, and how deep its folders go.
const FILES_MAX: usize = 2_000;
const ENTRY_MAX: usize = FILE_MAX;
const TOTAL_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 16;
/// Longest archive, also once it is inflated: the files, and what a tar has beside each.
pub const ARCHIVE_MAX: usize = TOTAL_MAX + (8 << 20);

/// Endings of names of archives.
const ENDINGS: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".zip"];

/// Whether a path is that of an archive, by its name.
#[must_use]
pub fn is_archive(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|stem| !stem.is_empty()))
    })
}

/// A file of a kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    /// From the kit's folder, with `/` between names.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Why a kit's folder is not read or packed.
#[derive(Debug, thiserror::Error)]
pub enum KitFolderError {
    /// The system would not.
    #[error("{} cannot be read", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that a kit does not hold.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// What.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}
