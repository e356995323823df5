//! Files that are read with a bound and replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Why the state directory did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// A verb: `read`, `write`, `lock`.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Written by a later release.
    #[error("{} has format {found}, this release knows {known}; use the newer release that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u16,
    },
    /// Not what this release writes.
    #[error("{} is damaged; {mend}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What to do, and what that costs.
        mend: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder holds something else.
    #[error("{} is not empty and not a state directory; name an empty or a new one", .0.display())]
    Foreign(PathBuf),
    /// Somebody else could read or change it.
    #[error("{} belongs to user {owner}, not to you (user {user}); name a directory of your own", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// No sandbox has this id.
    #[error("there is no sandbox with the id {0}; it may have been removed just now")]
    Gone(crate::model::name::SandboxId),
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(super) fn damaged(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Damaged { path: path.to_owned(), mend: GO_ON, source: source.into() }
    }

    /// Says what to do about a damaged file of this kind.
    pub(super) fn mended_by(mut self, way: &'static str) -> Self {
        if let Self::Damaged { mend, .. } = &mut self {
            *mend = way;
        }
        self
    }
}

/// What can be done about a file that nothing rests on.
const GO_ON: &str = "move it away to go on without it";

/// An effect on the disk. A test stops after any of them, as a kill would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A folder was made.
    Folder,
    /// Bytes were written to the file beside.
    Write,
    /// They reached the disk.
    Sync,
    /// The name was moved.
    Rename,
    /// The folder reached the disk.
    SyncFolder,
}

/// Called after each [`Step`]; its error ends the work there.
pub type Gate<'a> = dyn FnMut(Step) -> io::Result<()> + 'a;

/// The gate of real life.
pub(super) fn open_gate(_: Step) -> io::Result<()> {
    Ok(())
}

/// Replaces the file at `path` by `bytes`, on the disk when this returns. Callers hold the lock that keeps a second
/// writer of this file out.
///
/// # Errors
/// When the file system refuses; the old content stands then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    replace_with(path, bytes, &mut open_gate)
}

pub(super) fn replace_with(path: &Path, bytes: &[u8], gate: &mut Gate<'_>) -> Result<(), StoreError> {
    let replaced = (|| {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // One name for all tries: the next one overwrites what a crash left.
        let beside = folder.join(format!(".{}.new", name.to_string_lossy()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        gate(Step::Write)?;
        file.sync_all()?;
        gate(Step::Sync)?;
        fs::rename(&beside, path)?;
        gate(Step::Rename)?;
        sync_folder(folder)?;
        gate(Step::SyncFolder)
    })();
    replaced.map_err(StoreError::io("write", path))
}

/// Makes the folder's entries durable.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a line at the end of a file by a single call. When this fails a part may stand there, for the caller to
/// cut off: a second call for the rest could fail too, and leave a torn line behind whole ones.
///
/// # Errors
/// `StorageFull` when only a part went in; otherwise as the kernel says.
pub fn append_once(file: &mut File, line: &[u8]) -> io::Result<()> {
    loop {
        match file.write(line) {
            Ok(count) if count == line.len() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::StorageFull.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a regular file of at most `max` bytes that belongs to who runs this, so that it may lie behind links, as it does
/// for whoever keeps a configuration in a repository of its own. Never waits at a pipe.
///
/// # Errors
/// `NotFound`; `FileTooLarge`; `InvalidInput` for another kind of file; otherwise as the kernel says.
pub fn read_own(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = open_kind(path, libc::O_NONBLOCK)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_long(max)) } else { Ok(bytes) }
}

fn too_long(max: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {max} bytes"))
}

/// Opens a regular file for reading; neither a link nor a pipe can stand in for it.
///
/// # Errors
/// `InvalidInput` for another kind of file; otherwise as the kernel says.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open_kind(path, libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

fn open_kind(path: &Path, flags: i32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Makes a folder for its owner alone, with its parents; one that is there stays.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("make", path))
}

/// Reads a regular file of at most `max` bytes; `None` when there is none.
///
/// # Errors
/// When it is longer, another kind of file, or cannot be read.
pub fn read_bounded(path: &Path, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let read = || {
        let file = open_regular(path)?;
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > max {
            return Err(too_long(max));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// A JSON file with a format version of its own.
pub(super) trait Versioned: Serialize + DeserializeOwned {
    /// The format that this release writes.
    const VERSION: u16;
    /// Longest file in bytes.
    const MAX: u64;
    /// What to do about a damaged one, and what that costs.
    const MEND: &'static str = GO_ON;
}

#[derive(Deserialize)]
struct Envelope {
    version: u64,
}

/// Reads a versioned file; `None` when there is none.
pub(super) fn read<T: Versioned>(path: &Path) -> Result<Option<T>, StoreError> {
    let damaged = |error: serde_json::Error| StoreError::damaged(path, error).mended_by(T::MEND);
    let Some(bytes) = read_bounded(path, T::MAX)? else { return Ok(None) };
    // The version first: of a later format nothing else is known.
    let envelope: Envelope = serde_json::from_slice(&bytes).map_err(damaged)?;
    match envelope.version {
        version if version > u64::from(T::VERSION) => {
            Err(StoreError::Newer { path: path.to_owned(), found: version, known: T::VERSION })
        }
        version if version < u64::from(T::VERSION) => {
            Err(StoreError::damaged(path, format!("no release wrote format {version}")).mended_by(T::MEND))
        }
        _ => serde_json::from_slice(&bytes).map(Some).map_err(damaged),
    }
}

/// The bytes of a versioned file.
pub(super) fn encode<T: Versioned>(value: &T) -> Vec<u8> {
    #[derive(Serialize)]
    struct Out<'a, T> {
        version: u16,
        #[serde(flatten)]
        value: &'a T,
    }
    let out = Out { version: T::VERSION, value };
    let mut bytes = serde_json::to_vec_pretty(&out).expect("our state's keys are all strings");
    bytes.push(b'\n');
    bytes
}

/// Replaces a versioned file.
pub(super) fn write<T: Versioned>(path: &Path, value: &T) -> Result<(), StoreError> {
    replace(path, &encode(value))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A gate that ends the work after `count` steps, as a kill would.
    pub(in crate::store) fn kill_after(mut count: usize) -> impl FnMut(Step) -> io::Result<()> {
        move |_| match count.checked_sub(1) {
            Some(left) => {
                count = left;
                Ok(())
            }
            None => Err(io::Error::other("killed")),
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
    }

    impl Versioned for Sample {
        const VERSION: u16 = 1;
        const MAX: u64 = 1_000;
    }

    #[test]
    fn killed_at_any_step_a_reader_sees_the_old_or_the_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut seen = std::collections::BTreeSet::new();
        for (index, steps) in (0..=4).enumerate() {
            replace(&path, b"old").unwrap();
            let new = format!("new {index}");
            let outcome = replace_with(&path, new.as_bytes(), &mut kill_after(steps));
            assert_eq!(outcome.is_ok(), steps == 4);
            let text = String::from_utf8(read_bounded(&path, 100).unwrap().unwrap()).unwrap();
            assert!(text == "old" || text == new, "{text}");
            seen.insert(text == "old");
            // What was left beside is in nobody's way.
            replace(&path, b"later").unwrap();
        }
        assert_eq!(seen.len(), 2, "both outcomes were met");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_written_reads_back_and_other_formats_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.json");
        assert_eq!(read::<Sample>(&path).unwrap(), None);
        write(&path, &Sample { text: "x".into() }).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Sample { text: "x".into() }));
        for (content, message) in [
            (r#"{"version":2,"other":1}"#, "has format 2, this release knows 1"),
            (r#"{"version":0,"text":""}"#, "is damaged"),
            (r#"{"text":"x"}"#, "is damaged"),
            (r#"{"version":1,"text":"#, "is damaged"),
            ("", "is damaged"),
        ] {
            fs::write(&path, content).unwrap();
            let error = read::<Sample>(&path).unwrap_err().to_string();
            assert!(error.contains(message), "{content}: {error}");
        }
    }

    #[test]
    fn long_files_links_and_pipes_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, vec![b' '; 11]).unwrap();
        assert!(read_bounded(&path, 10).is_err());
        assert!(read_bounded(&path, 11).is_ok());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read_bounded(&link, 100).is_err());
        assert!(read_bounded(dir.path(), 100).is_err());
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(read_bounded(&pipe, 100).is_err());
    }
}
