//! Blank disks of a sandbox: sparse files with an ext4 file system, made in a few milliseconds.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    host::Host,
    tool::{Tool, ToolError},
};

/// Smaller file systems have no room for a journal.
const SMALLEST: u64 = 64 << 20;
/// Labels of ext4 are 16 bytes.
const LABEL_LIMIT: usize = 16;

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The size or the label cannot be.
    #[error(
        "cannot make a disk of {bytes} bytes named `{label}`: at least 64 MiB, and a name of at most 16 letters, digits and dashes"
    )]
    Shape {
        /// Size.
        bytes: u64,
        /// Label.
        label: String,
    },
    /// A disk of that name is there: it may hold an agent's work.
    #[error("{} exists already and is not overwritten", .path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the disk {}", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// mke2fs failed.
    #[error("cannot make a file system in {}", .path.display())]
    Format {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: ToolError,
    },
}

/// Makes a disk of `bytes` at `path`, which appears whole or not at all. The file takes no more room than is
/// written to it.
///
/// # Errors
/// See [`DiskError`]; an existing file is never touched.
pub fn create_disk(host: &Host, path: &Path, bytes: u64, label: &str) -> Result<(), DiskError> {
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if bytes < SMALLEST || label.is_empty() || label.len() > LABEL_LIMIT || !plain {
        return Err(DiskError::Shape { bytes, label: label.to_owned() });
    }
    let failed = |source| DiskError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    draft.as_file().set_len(bytes).map_err(failed)?;
    // A new sparse file is zero: neither mke2fs nor, later, the guest need write zeroes over it.
    let format = Tool::new(host, "mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-E"])
        .arg("nodiscard,lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1,root_owner=0:0");
    let done = format.arg(draft.path()).run(|_| {});
    done.map_err(|source| DiskError::Format { path: path.to_owned(), source })?;
    draft.as_file().sync_all().map_err(failed)?;
    match draft.persist_noclobber(path) {
        Ok(_) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(DiskError::Exists { path: path.to_owned() })
        }
        Err(error) => Err(failed(error.error)),
    }
}

/// Bytes that a disk takes on the host.
///
/// # Errors
/// When it cannot be looked at.
pub fn allocated(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(path)?.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::fake::FakeHost;

    #[test]
    fn a_disk_appears_whole_and_is_never_overwritten() {
        let fake = FakeHost::new();
        fake.tool("mke2fs", "for last; do :; done; echo formatted > \"$last.called\"");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.img");
        create_disk(&fake.host, &path, 1 << 30, "data").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 30);
        assert!(allocated(&path).unwrap() < 1 << 20);
        let again = create_disk(&fake.host, &path, 1 << 30, "data").unwrap_err();
        assert!(matches!(again, DiskError::Exists { .. }), "{again}");
    }

    #[test]
    fn a_failed_format_leaves_nothing() {
        let fake = FakeHost::new();
        fake.tool("mke2fs", "echo no room >&2; exit 1");
        let folder = tempfile::tempdir().unwrap();
        let error = create_disk(&fake.host, &folder.path().join("data.img"), 1 << 30, "data").unwrap_err();
        assert!(matches!(error, DiskError::Format { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn odd_shapes_are_refused() {
        let fake = FakeHost::new();
        for (bytes, label) in [(1, "data"), (1 << 30, ""), (1 << 30, "a,b"), (1 << 30, "longer-than-sixteen")]
        {
            let error = create_disk(&fake.host, Path::new("x"), bytes, label).unwrap_err();
            assert!(matches!(error, DiskError::Shape { .. }), "{error}");
        }
    }
}
