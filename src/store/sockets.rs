//! Directories for a sandbox's sockets. A socket's path has at most 107 bytes, so they are not in the state
//! directory; and the runtime directory may be another one in a later log-in, so the choice is noted there.

use std::{
    fs, io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

use super::{
    file::{self, StoreError},
    state::{SandboxDir, keep_to_owner},
};

/// Longest path of a socket in bytes: `sockaddr_un` has 108 with a zero byte (unix(7)).
pub const PATH_MAX: usize = 107;

/// Longest name of a socket in its directory, in bytes.
pub const NAME_MAX: usize = 16;

/// What a socket's path adds to the runtime directory's: a sandbox's id and a socket's name.
pub(super) const ROOM: usize = 1 + 12 + 1 + NAME_MAX;

/// Why there is no directory for sockets.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// Its path would be too long.
    #[error("{} is too long for sockets; set XDG_RUNTIME_DIR to a path of at most {} bytes", .0.display(), PATH_MAX - ROOM - 10)]
    TooLong(PathBuf),
    /// Something else stands there: a link, or a file.
    #[error("{} is not a directory; remove it, or set XDG_RUNTIME_DIR to a directory of your own", .0.display())]
    NotAFolder(PathBuf),
    /// The state directory refused, or the directory is somebody else's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SandboxDir {
    /// Makes an empty directory for this sandbox's sockets below `runtime` and notes where it is. The caller holds
    /// the sandbox's life lock: sockets that lie there are a dead keeper's.
    ///
    /// # Errors
    /// When it would be too long, a link, or not ours alone.
    pub fn make_sockets(&self, runtime: &Path) -> Result<PathBuf, SocketsError> {
        if runtime.as_os_str().len() + ROOM > PATH_MAX {
            return Err(SocketsError::TooLong(runtime.to_owned()));
        }
        own_folder(runtime)?;
        let path = runtime.join(self.id().as_str());
        own_folder(&path)?;
        for entry in fs::read_dir(&path).map_err(StoreError::io("read", &path))? {
            let left = entry.map_err(StoreError::io("read", &path))?.path();
            fs::remove_file(&left).map_err(StoreError::io("remove", &left))?;
        }
        file::replace(&self.sockets(), path.as_os_str().as_bytes())?;
        Ok(path)
    }

    /// Where this sandbox's sockets are, if it ever had any.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub fn socket_folder(&self) -> Result<Option<PathBuf>, StoreError> {
        let bytes = file::read_bounded(&self.sockets(), PATH_MAX as u64)?;
        Ok(bytes.map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes))))
    }

    /// Removes the directory for sockets; one that is gone, as after a log-out, is no error.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_sockets(&self) -> Result<(), StoreError> {
        let Some(path) = self.socket_folder()? else { return Ok(()) };
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Makes a folder, or accepts one that is ours and no link: in `/tmp` anybody may have put one there first.
fn own_folder(path: &Path) -> Result<(), SocketsError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StoreError::io("make", path)(error).into());
        }
        _ => {}
    }
    let meta = fs::symlink_metadata(path).map_err(StoreError::io("read", path))?;
    if !meta.is_dir() {
        return Err(SocketsError::NotAFolder(path.to_owned()));
    }
    // `/tmp` is sticky: nobody else can put another in its place from here on.
    Ok(keep_to_owner(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::name::SandboxId, store::Store};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn sandbox() -> (tempfile::TempDir, SandboxDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Store::open(&dir.path().join("state")).unwrap().sandbox(&SandboxId::from_bytes([9; 6]));
        fs::create_dir(sandbox.path()).unwrap();
        let runtime = dir.path().join("run");
        (dir, sandbox, runtime)
    }

    #[test]
    fn a_directory_is_made_noted_emptied_and_removed() {
        let (_dir, sandbox, runtime) = sandbox();
        assert_eq!(sandbox.socket_folder().unwrap(), None);
        let path = sandbox.make_sockets(&runtime).unwrap();
        assert_eq!(path, runtime.join("090909090909"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(sandbox.socket_folder().unwrap(), Some(path.clone()));
        fs::write(path.join("api"), "").unwrap();
        sandbox.make_sockets(&runtime).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        sandbox.remove_sockets().unwrap();
        sandbox.remove_sockets().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_link_a_file_and_an_open_directory_are_not_trusted() {
        let (dir, sandbox, runtime) = sandbox();
        let target = dir.path().join("target");
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, &runtime).unwrap();
        assert!(matches!(sandbox.make_sockets(&runtime), Err(SocketsError::NotAFolder(_))));
        fs::remove_file(&runtime).unwrap();
        fs::write(&runtime, "").unwrap();
        assert!(matches!(sandbox.make_sockets(&runtime), Err(SocketsError::NotAFolder(_))));
        fs::remove_file(&runtime).unwrap();
        fs::create_dir(&runtime).unwrap();
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o777)).unwrap();
        sandbox.make_sockets(&runtime).unwrap();
        assert_eq!(fs::metadata(&runtime).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_longest_path_fits_a_socket_and_one_more_byte_is_refused() {
        let (dir, sandbox, _) = sandbox();
        let room = PATH_MAX - ROOM - dir.path().as_os_str().len() - 1;
        let fits = dir.path().join("r".repeat(room));
        let path = sandbox.make_sockets(&fits).unwrap();
        std::os::unix::net::UnixListener::bind(path.join("s".repeat(NAME_MAX))).unwrap();
        let over = dir.path().join("r".repeat(room + 1));
        assert!(matches!(sandbox.make_sockets(&over), Err(SocketsError::TooLong(_))));
    }
}
