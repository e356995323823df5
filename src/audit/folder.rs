//! The files of a trail, by name.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::store::file::open_regular;

use super::chain::Flaw;

/// The first record that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: record {seq} is bad: {flaw}", file.display())]
pub struct Bad {
    /// The segment.
    pub file: PathBuf,
    /// Line in it, from 1.
    pub line: u64,
    /// The number that this record should have.
    pub seq: u64,
    /// What is wrong.
    pub flaw: Flaw,
}

/// Why a trail could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("cannot read the audit trail at {}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is not what was written.
    #[error(transparent)]
    Bad(#[from] Bad),
}

impl ReadError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A file of events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// Counts up from 1, through everything that was ever written here.
    pub(super) number: u64,
    /// Whether it is complete.
    pub(super) sealed: bool,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Name of a segment that is being written.
pub(super) fn open_name(number: u64) -> String {
    format!("{number:08}.jsonl.tmp")
}

/// Name of a complete segment.
pub(super) fn sealed_name(number: u64) -> String {
    format!("{number:08}.jsonl")
}

/// The segments of a folder, oldest first. Files of other names are not ours to read.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some((digits, rest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let sealed = match rest {
            "jsonl" => true,
            "jsonl.tmp" => false,
            _ => continue,
        };
        if let Some(number) = number(digits) {
            found.push(Segment { number, sealed, path: dir.join(&name) });
        }
    }
    // Were both forms of one number there, the sealed one would be the older.
    found.sort_by_key(|segment| (segment.number, !segment.sealed));
    Ok(found)
}

/// Reads the number in a name: eight digits, more only where they are needed.
pub(super) fn number(digits: &str) -> Option<u64> {
    let number = digits.parse().ok()?;
    (number > 0 && format!("{number:08}") == digits).then_some(number)
}

impl Segment {
    /// Opens it for reading, under its sealed name when it was sealed since it was listed.
    pub(super) fn open(&self) -> Result<File, ReadError> {
        let opened = match open_regular(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.sealed => {
                open_regular(&self.path.with_file_name(sealed_name(self.number)))
            }
            opened => opened,
        };
        opened.map_err(ReadError::io(&self.path))
    }
}

/// Takes the writer's lock without waiting; `None` when another process has it.
pub(super) fn lock(dir: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(dir.join("lock"))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a writer holds the lock now. Changes nothing: a folder that cannot be written has no writer.
pub(super) fn has_writer(dir: &Path) -> bool {
    let Ok(file) = open_regular(&dir.join("lock")) else { return false };
    let taken = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    taken == Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_segments_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let ours = ["00000002.jsonl.tmp", "00000001.jsonl", "100000000.jsonl"];
        let others =
            ["1.jsonl", "00000000.jsonl", "+0000003.jsonl", "00000001.torn", "lock", "00000004.jsonl.gz"];
        for name in ours.iter().chain(&others) {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let numbers: Vec<_> = segments(dir.path()).unwrap().iter().map(|it| (it.number, it.sealed)).collect();
        assert_eq!(numbers, [(1, true), (2, false), (100_000_000, true)]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("00000001.jsonl");
        std::os::unix::fs::symlink("/etc/passwd", link).unwrap();
        assert!(segments(dir.path()).unwrap()[0].open().is_err());
    }
}
