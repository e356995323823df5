//! What lies in a repository besides our files: whether a file is there, and bounded reads of single ones.

use std::path::Path;

use rustix::{
    fs::{FileType, OFlags, fstat},
    io::Errno,
};

use super::{DiscoverError, FILE_MAX, Root};

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
        // The break: the file behind the link is readable otherwise.
        assert_eq!(fs::read(root.join("link")).unwrap(), b"s");
    }
}
