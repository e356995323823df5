//! What zones and the guest's console say: kept in files of bounded size, control characters and all. Whoever shows
//! them makes those visible.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::zones::entry::MISSING_PREFIX;

/// A file is started anew at this size, in bytes; the one before is kept beside it.
const FILE_MAX: u64 = 1024 * 1024;
/// Longest line of a zone that is kept, in bytes.
const LINE_MAX: u64 = 8 * 1024;

/// A file that begins anew when it is full, so that whoever writes without end fills two of them at most.
pub(super) struct BoundedFile {
    path: PathBuf,
    file: RefCell<File>,
    length: Cell<u64>,
}

impl BoundedFile {
    /// Begins `path` anew; what was there is kept as `PATH.1`.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = Self::rotate(path)?;
        Ok(Self { path: path.to_owned(), file: RefCell::new(file), length: Cell::new(0) })
    }

    fn rotate(path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut kept = path.as_os_str().to_owned();
        kept.push(".1");
        match std::fs::rename(path, kept) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Appends; a full disk loses log lines, never the sandbox.
    pub(super) fn append(&self, bytes: &[u8]) {
        let full = self.length.get() + bytes.len() as u64 > FILE_MAX;
        if full && let Ok(file) = Self::rotate(&self.path) {
            self.file.replace(file);
            self.length.set(0);
        }
        if self.file.borrow_mut().write_all(bytes).is_ok() {
            self.length.set(self.length.get() + bytes.len() as u64);
        }
    }
}

/// The zones' standard error.
pub(super) struct Log {
    file: BoundedFile,
    last: RefCell<HashMap<&'static str, String>>,
    missing: RefCell<Vec<String>>,
}

impl Log {
    pub(super) fn new(file: BoundedFile) -> Self {
        Self { file, last: RefCell::default(), missing: RefCell::default() }
    }

    /// Last line that a zone wrote.
    pub(super) fn last_line(&self, role: &str) -> Option<String> {
        self.last.borrow().get(role).cloned()
    }

    /// Layers of the jail that zones reported missing.
    pub(super) fn missing(&self) -> Vec<String> {
        self.missing.borrow().clone()
    }

    /// Keeps one line.
    pub(super) fn line(&self, role: &'static str, line: &str) {
        if let Some(missing) = line.strip_prefix(MISSING_PREFIX) {
            let layers: Vec<String> = serde_json::from_str(missing).unwrap_or_default();
            let mut known = self.missing.borrow_mut();
            for layer in layers {
                if !known.contains(&layer) {
                    known.push(layer);
                }
            }
            return;
        }
        self.file.append(format!("{role}: {line}\n").as_bytes());
        self.last.borrow_mut().insert(role, line.to_owned());
    }
}

/// Keeps what a zone writes on `pipe` until it ends.
pub(super) fn keep_lines(role: &'static str, pipe: OwnedFd, log: Rc<Log>) -> io::Result<()> {
    let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe)?;
    tokio::task::spawn_local(async move {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => log.line(role, String::from_utf8_lossy(&line).trim_end()),
            }
        }
    });
    Ok(())
}

/// Keeps the guest's console until it ends.
pub(super) async fn keep_console(mut console: impl AsyncRead + Unpin, file: BoundedFile) {
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = console.read(&mut buffer).await {
        file.append(&buffer[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_fills_two_files_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let file = BoundedFile::create(&path).unwrap();
        for _ in 0..5000 {
            file.append(&[b'x'; 1000]);
        }
        let size: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size <= 2 * FILE_MAX, "{size}");
        assert!(path.exists());
    }
}
