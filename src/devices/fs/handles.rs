//! Open files and directories: the only descriptors that the guest can make this process hold.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;

/// One open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    /// The node that it was opened as; a request that names another one is refused.
    pub node: u64,
    target: Target,
}

#[derive(Debug)]
enum Target {
    File(Mutex<File>),
    /// Locked, because reading moves the position.
    Directory(Mutex<OwnedFd>),
}

impl Handle {
    pub fn file(node: u64, fd: OwnedFd) -> Self {
        Self { node, target: Target::File(Mutex::new(File::from(fd))) }
    }

    pub fn directory(node: u64, fd: OwnedFd) -> Self {
        Self { node, target: Target::Directory(Mutex::new(fd)) }
    }

    /// The file, for the time of one operation.
    ///
    /// # Errors
    /// `EBADF` for a directory.
    pub fn as_file(&self) -> io::Result<MutexGuard<'_, File>> {
        match &self.target {
            Target::File(file) => Ok(file.lock().unwrap_or_else(PoisonError::into_inner)),
            Target::Directory(_) => Err(Errno::BADF.into()),
        }
    }

    /// The directory, for the time of one operation.
    ///
    /// # Errors
    /// `EBADF` for a file.
    pub fn as_directory(&self) -> io::Result<MutexGuard<'_, OwnedFd>> {
        match &self.target {
            Target::Directory(fd) => Ok(fd.lock().unwrap_or_else(PoisonError::into_inner)),
            Target::File(_) => Err(Errno::BADF.into()),
        }
    }

    /// Runs `act` on the descriptor, whichever it is.
    pub fn with_fd<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        match &self.target {
            Target::File(file) => act(file.lock().unwrap_or_else(PoisonError::into_inner).as_fd()),
            Target::Directory(fd) => act(fd.lock().unwrap_or_else(PoisonError::into_inner).as_fd()),
        }
    }
}

/// All open handles of the guest, bounded.
#[derive(Debug)]
pub(super) struct Handles {
    open: Mutex<Open>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Open {
    handles: HashMap<u64, Arc<Handle>>,
    last: u64,
}

impl Handles {
    pub fn new(limit: usize) -> Self {
        Self { open: Mutex::default(), limit }
    }

    /// Keeps a handle and gives its number.
    ///
    /// # Errors
    /// `ENFILE` when the guest has too many files open.
    pub fn insert(&self, handle: Handle) -> io::Result<u64> {
        let mut open = self.lock();
        if open.handles.len() >= self.limit {
            return Err(Errno::NFILE.into());
        }
        open.last += 1;
        let number = open.last;
        open.handles.insert(number, Arc::new(handle));
        Ok(number)
    }

    /// `ENFILE` where [`Handles::insert`] would fail, to be asked before something is made.
    pub fn room(&self) -> io::Result<()> {
        if self.lock().handles.len() < self.limit { Ok(()) } else { Err(Errno::NFILE.into()) }
    }

    /// The handle of that number, if it belongs to `node`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, number: u64, node: u64) -> io::Result<Arc<Handle>> {
        let open = self.lock();
        open.handles.get(&number).filter(|h| h.node == node).cloned().ok_or_else(|| Errno::BADF.into())
    }

    /// Some handle of a node whose name has gone: the way to a file that was removed while it is open.
    pub fn any_of(&self, node: u64) -> Option<Arc<Handle>> {
        self.lock().handles.values().find(|h| h.node == node).cloned()
    }

    /// Closes a handle.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn remove(&self, number: u64, node: u64) -> io::Result<()> {
        self.get(number, node)?;
        self.lock().handles.remove(&number);
        Ok(())
    }

    /// Closes all.
    pub fn clear(&self) {
        self.lock().handles.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
