//! What lies in a repository besides our files: whether a file is there, and bounded reads of single ones.

use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom},
    path::Path,
};

use rustix::{
    fs::{FileType, OFlags, fstat},
    io::Errno,
};

use super::{DiscoverError, FILE_MAX, Root};
use crate::kit::draft::{Ends, Files};

/// How much of the beginning of a lock file is looked at, and of its end. What a client has to know of the format
/// stands in the first or the last lines; of what lies between a part is seen, however long the file.
const HEAD_MAX: u64 = 256 << 10;
const TAIL_MAX: u64 = 64 << 10;

/// A repository's working tree, or a folder outside of any; nothing in it is reached over a link.
pub struct Checkout(Root);

impl Checkout {
    /// The one that `folder` lies in.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn of(folder: &Path) -> Result<Self, DiscoverError> {
        Root::of(folder).map(Self)
    }

    /// Its root, canonical.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.path
    }

    /// Whether a regular file lies at this path below the root. A link is none.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let found = self.0.open(&self.0.path.join(path), OFlags::PATH);
        let found = found.ok().and_then(|descriptor| fstat(descriptor).ok());
        found.is_some_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
    }

    /// The bytes of a regular file below the root; `None` where nothing lies there.
    ///
    /// # Errors
    /// When it is a link, no regular file, too long, or cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, DiscoverError> {
        match self.0.load(&self.0.path.join(path), FILE_MAX) {
            Ok(file) => Ok(Some(file.bytes)),
            Err(DiscoverError::NotFound(_)) => Ok(None),
            Err(DiscoverError::Io { source, .. })
                if source.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Files for Checkout {
    fn has(&self, name: &str) -> bool {
        Self::has(self, name)
    }

    fn ends(&self, name: &str) -> Option<Ends> {
        let mut file = File::from(self.0.open(&self.0.path.join(name), OFlags::empty()).ok()?);
        let found = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let mut read = |from: u64, most: u64| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from)).ok()?;
            Read::by_ref(&mut file).take(most).read_to_end(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let head = read(0, HEAD_MAX)?;
        let tail = read(found.len().saturating_sub(TAIL_MAX), TAIL_MAX)?;
        Some(Ends { head, tail })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_is_reached_over_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        fs::create_dir_all(root.join("in")).unwrap();
        fs::write(root.join("in/file"), "x").unwrap();
        fs::write(root.join("plain"), "x").unwrap();
        symlink(outside.path().join("secret"), root.join("link")).unwrap();
        symlink(outside.path(), root.join("folder")).unwrap();
        let checkout = Checkout::of(&root).unwrap();
        for (path, there) in [
            ("plain", true),
            ("in/file", true),
            ("in", false),
            ("link", false),
            ("folder/secret", false),
            ("none", false),
            ("plain/x", false),
            ("../x", false),
        ] {
            assert_eq!(checkout.has(path), there, "{path}");
        }
        assert_eq!(checkout.read("in/file").unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!(checkout.read("none/x").unwrap(), None);
        assert_eq!(checkout.read("plain/x").unwrap(), None);
        for refused in ["link", "folder/secret", "in"] {
            assert!(checkout.read(refused).is_err(), "{refused}");
        }
        assert_eq!(
            (checkout.ends("link"), checkout.ends("folder/secret"), checkout.ends("in")),
            (None, None, None)
        );
        // The break: the file behind the link is readable otherwise.
        assert_eq!(fs::read(root.join("link")).unwrap(), b"s");
    }

    #[test]
    fn of_a_file_both_ends_are_seen_whatever_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("long")).unwrap();
        file.set_len(100 << 20).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        fs::write(dir.path().join("short"), "\u{e9}\n").unwrap();
        let checkout = Checkout::of(dir.path()).unwrap();
        let long = checkout.ends("long").unwrap();
        assert_eq!((long.head.len() as u64, long.tail.len() as u64), (HEAD_MAX, TAIL_MAX));
        let short = checkout.ends("short").unwrap();
        assert_eq!((short.head.as_str(), short.tail.as_str()), ("\u{e9}\n", "\u{e9}\n"));
        assert!(!checkout.has("fifo") && checkout.ends("fifo").is_none());
        assert!(checkout.ends("none").is_none());
    }
}
