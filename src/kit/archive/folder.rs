//! A kit's folder as data. It may be anybody's: files are opened below it over no link, must be regular with one name,
//! and are bounded in number and size.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

use super::{DEPTH_MAX, ENTRY_MAX, FILES_MAX, KitFile, KitFolderError, TOTAL_MAX};

fn refused<T>(path: &Path, reason: impl Into<String>) -> Result<T, KitFolderError> {
    Err(KitFolderError::Refused { path: path.to_owned(), reason: reason.into() })
}

/// The files of a kit's folder, sorted by path. Names that begin with a full stop are not part of a kit.
///
/// # Errors
/// A link, a special file, more than the bounds allow.
pub fn kit_files(folder: &Path) -> Result<Vec<KitFile>, KitFolderError> {
    let io = |source: Errno| KitFolderError::Io { path: folder.to_owned(), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, folder, flags, Mode::empty()).map_err(io)?;
    let mut walk = Walk { folder, root, files: Vec::new(), total: 0 };
    walk.folder("", 0)?;
    walk.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.files)
}

struct Walk<'a> {
    folder: &'a Path,
    root: OwnedFd,
    files: Vec<KitFile>,
    total: usize,
}

impl Walk<'_> {
    fn open(&self, below: &str, flags: OFlags) -> Result<OwnedFd, KitFolderError> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = if below.is_empty() { "." } else { below };
        let path = self.folder.join(below);
        openat2(&self.root, name, flags, Mode::empty(), resolve).map_err(|error| match error {
            Errno::LOOP => {
                KitFolderError::Refused { path, reason: "a kit holds no links; copy the file".to_owned() }
            }
            error => KitFolderError::Io { path, source: error.into() },
        })
    }

    fn folder(&mut self, below: &str, depth: usize) -> Result<(), KitFolderError> {
        let shown = self.folder.join(below);
        if depth > DEPTH_MAX {
            return refused(&shown, format!("folders of a kit nest at most {DEPTH_MAX} deep"));
        }
        let opened = self.open(below, OFlags::DIRECTORY)?;
        let io = |source: Errno| KitFolderError::Io { path: shown.clone(), source: source.into() };
        let mut names = Vec::new();
        for entry in Dir::read_from(opened.as_fd()).map_err(io)? {
            let entry = entry.map_err(io)?;
            let Ok(name) = entry.file_name().to_str() else {
                return refused(&shown, "a name in it is not UTF-8");
            };
            if name.starts_with('.') && !below.starts_with("files") {
                continue;
            }
            if matches!(name, "." | "..") {
                continue;
            }
            names.push((name.to_owned(), entry.file_type()));
            if names.len() > FILES_MAX {
                return refused(&shown, format!("a kit has at most {FILES_MAX} files"));
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, sort) in names {
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            match sort {
                FileType::Directory => self.folder(&path, depth + 1)?,
                _ => self.file(path)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: String) -> Result<(), KitFolderError> {
        let shown = self.folder.join(&path);
        let io = |source: io::Error| KitFolderError::Io { path: shown.clone(), source };
        let file = File::from(self.open(&path, OFlags::empty())?);
        let found = file.metadata().map_err(io)?;
        if !found.is_file() || found.nlink() != 1 {
            return refused(&shown, "a kit holds regular files with one name only");
        }
        let mut bytes = Vec::new();
        file.take(ENTRY_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() > ENTRY_MAX {
            return refused(&shown, format!("a file of a kit has at most {} MiB", ENTRY_MAX >> 20));
        }
        self.total += bytes.len();
        if self.total > TOTAL_MAX || self.files.len() == FILES_MAX {
            return refused(
                &shown,
                format!("a kit has at most {FILES_MAX} files and {} MiB", TOTAL_MAX >> 20),
            );
        }
        let executable = found.mode() & 0o100 != 0;
        self.files.push(KitFile { path, bytes, executable });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn kit() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("spec.yaml", "schemaVersion: \"2\"\n");
        write("files/home/.config/tool.toml", "a = 1\n");
        write("files/workspace/run.sh", "#!/bin/sh\n");
        write(".git/config", "[core]\n");
        write("README.md", "x");
        folder
    }

    #[test]
    fn links_and_second_names_are_refused() {
        let folder = kit();
        symlink("/etc/passwd", folder.path().join("files/home/passwd")).unwrap();
        assert!(kit_files(folder.path()).unwrap_err().to_string().contains("no links"));
        fs::remove_file(folder.path().join("files/home/passwd")).unwrap();
        symlink("/etc", folder.path().join("files/etc")).unwrap();
        assert!(kit_files(folder.path()).is_err());
        fs::remove_file(folder.path().join("files/etc")).unwrap();
        fs::hard_link(folder.path().join("README.md"), folder.path().join("again")).unwrap();
        assert!(kit_files(folder.path()).unwrap_err().to_string().contains("one name only"));
    }
}
