//! What was fetched: archives in one folder, each named by its SHA-256 sum and held against it on every read.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::kit::{ARCHIVE_MAX, KitStore};

/// Archives of kits in the user's cache; may be deleted at any time.
#[derive(Debug, Clone)]
pub struct KitCache {
    folder: PathBuf,
}

impl KitCache {
    /// The one below this cache directory. Nothing is made before something is kept.
    #[must_use]
    pub fn below(cache: &Path) -> Self {
        Self { folder: cache.join("kits") }
    }

    /// Keeps an archive and returns its sum. Whoever reads meanwhile has all of it or nothing.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn put(&self, archive: &[u8]) -> io::Result<String> {
        let digest = sum(archive);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".new-").permissions(Permissions::from_mode(0o600));
        let mut file = builder.tempfile_in(self.ready()?)?;
        file.write_all(archive)?;
        file.as_file().sync_all()?;
        file.persist(self.path(&digest)).map_err(|error| error.error)?;
        Ok(digest)
    }

    /// A new empty folder beside the archives, which is removed when it is let go.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn room(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(".fetch-").tempdir_in(self.ready()?)
    }

    fn ready(&self) -> io::Result<&Path> {
        fs::create_dir_all(&self.folder)?;
        Ok(&self.folder)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.tar"))
    }

    fn read(&self, digest: &str) -> io::Result<Option<Vec<u8>>> {
        let mut options = File::options();
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
        let file = match options.open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() || found.len() > ARCHIVE_MAX as u64 {
            return Err(io::Error::other("it is no archive"));
        }
        let mut bytes = Vec::new();
        file.take(ARCHIVE_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

impl KitStore for KitCache {
    fn archive(&self, digest: &str) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(digest);
        match self.read(digest) {
            Ok(Some(bytes)) if sum(&bytes) == digest => Ok(Some(bytes)),
            Ok(Some(_)) => {
                Err(format!("{} was changed since it was fetched: its sum is another", path.display()))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
