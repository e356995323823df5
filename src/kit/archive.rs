//! A kit's folder as data, and as an archive that is the same bytes wherever it is made.
//!
//! The folder may be anybody's: files are opened below it over no link, must be regular with one name, and are bounded
//! in number and size. The archive is a plain tar (POSIX ustar): sorted, without times, owners and anything that depends
//! on the host.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

/// Most files of a kit, their bytes together, and how deep its folders go.
const FILES_MAX: usize = 2_000;
const TOTAL_MAX: u64 = 64 << 20;
const DEPTH_MAX: usize = 16;
/// A tar's unit, in bytes.
const BLOCK: usize = 512;

/// A file of a kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    /// From the kit's folder, with `/` between names.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Why a kit's folder is not read or packed.
#[derive(Debug, thiserror::Error)]
pub enum KitFolderError {
    /// The system would not.
    #[error("{} cannot be read", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that a kit does not hold.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// What.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}

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
    total: u64,
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
        file.take(TOTAL_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
        self.total += bytes.len() as u64;
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

/// The archive of a kit: the same files are always the same bytes.
///
/// # Errors
/// A path that no tar of this form can name.
pub fn kit_archive(files: &[KitFile]) -> Result<Vec<u8>, KitFolderError> {
    let mut archive = Vec::new();
    for file in files {
        archive.extend_from_slice(&header(file)?);
        archive.extend_from_slice(&file.bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks end it.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

fn header(file: &KitFile) -> Result<[u8; BLOCK], KitFolderError> {
    let (prefix, name) = split(&file.path)
        .map_or_else(|| refused(Path::new(&file.path), "the path is too long for an archive"), Ok)?;
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, if file.executable { b"0000755\0" } else { b"0000644\0" });
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", file.bytes.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// A path in the two fields that a header has for it.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    let cut = path.match_indices('/').map(|(at, _)| at).find(|at| path.len() - at - 1 <= 100)?;
    (cut <= 155).then(|| (&path[..cut], &path[cut + 1..]))
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
    fn the_archive_depends_on_the_files_alone() {
        let (one, two) = (kit(), kit());
        let files = kit_files(one.path()).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            ["README.md", "files/home/.config/tool.toml", "files/workspace/run.sh", "spec.yaml"]
        );
        let archive = kit_archive(&files).unwrap();
        assert_eq!(archive, kit_archive(&kit_files(two.path()).unwrap()).unwrap());
        assert_eq!(archive.len(), 4 * 2 * BLOCK + 2 * BLOCK);
        assert_eq!(&archive[257..265], b"ustar\x0000");
        assert!(archive[136..147].iter().all(|byte| *byte == b'0'), "no time");
        // As tar has it: the sum of the header with the field itself as spaces.
        let mut head = archive[..BLOCK].to_vec();
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&archive[148..154], format!("{sum:06o}").as_bytes());
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

    #[test]
    fn long_paths_take_both_fields_or_are_refused() {
        let file = |path: String| KitFile { path, bytes: vec![], executable: true };
        let long = format!("{}/{}", "a".repeat(120), "b".repeat(90));
        let archive = kit_archive(&[file(long)]).unwrap();
        assert_eq!((archive[0], archive[345]), (b'b', b'a'));
        assert!(kit_archive(&[file("c".repeat(101))]).is_err());
    }
}
