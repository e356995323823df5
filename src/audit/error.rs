//! What a writer of a trail is told.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    chain::TooLong,
    folder::{Bad, ReadError},
};

/// Why a trail did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// Another process writes this trail.
    #[error("{} is being written by another process; a sandbox has one keeper at a time", .0.display())]
    Busy(PathBuf),
    /// What was left cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No room. Nothing was written.
    #[error("no room for the audit trail in {}; free some space, then try again", dir.display())]
    Full {
        /// The trail's folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The event is too long. Nothing was written.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The disk failed, and what it holds is uncertain.
    #[error("cannot write the audit trail in {}; nothing more is written until it is opened again", dir.display())]
    Io {
        /// The trail's folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An earlier error left the file uncertain.
    #[error("the audit trail in {} failed before; it takes no event until it is opened again", .0.display())]
    Failed(PathBuf),
}

impl TrailError {
    /// The bad record, when that is what keeps the trail from being opened.
    #[must_use]
    pub fn bad(&self) -> Option<&Bad> {
        match self {
            Self::Read(ReadError::Bad(bad)) => Some(bad),
            _ => None,
        }
    }
}

/// The disk failed under the trail in `dir`.
pub(super) fn failed(dir: &Path, source: io::Error) -> TrailError {
    TrailError::Io { dir: dir.to_owned(), source }
}

/// Whether there is room missing, and nothing else wrong.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
