//! Reading single files and folders below a root, over no link, within bounds.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat},
    io::Errno,
};

/// Deepest folder, most files and most bytes of one file among those that a kit brings.
const DEPTH_MAX: usize = 16;
const FILES_MAX: usize = 1_000;
pub(super) const BYTES_MAX: usize = 1 << 20;

/// Why something was not read, in words that name no host path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kit) enum Unread {
    /// There is nothing of that name.
    NotThere,
    /// It is not something that this reads.
    Refused(String),
}

fn refused<T>(reason: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Refused(reason.into()))
}

fn unread(error: Errno) -> Unread {
    Unread::Refused(match error {
        Errno::NOENT | Errno::NOTDIR => return Unread::NotThere,
        Errno::LOOP => "it is a link or lies behind one".to_owned(),
        Errno::XDEV => "it lies outside of the repository".to_owned(),
        Errno::NOSYS => {
            "this kernel cannot open files safely (openat2 is missing; Linux 5.6 has it)".to_owned()
        }
        error => io::Error::from(error).to_string(),
    })
}

fn root(base: &Path) -> Result<OwnedFd, Unread> {
    openat(CWD, base, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(unread)
}

fn open(root: &OwnedFd, relative: &Path, flags: OFlags) -> Result<OwnedFd, Unread> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat2(root, relative, flags, Mode::empty(), resolve).map_err(unread)
}

/// Reads a regular file with one name below a folder, of at most `max` bytes.
pub(in crate::kit) fn read_beneath(base: &Path, relative: &Path, max: usize) -> Result<Vec<u8>, Unread> {
    read(&root(base)?, relative, max).map(|(bytes, _)| bytes)
}

/// The bytes of a file, and whether it can be executed.
fn read(root: &OwnedFd, relative: &Path, max: usize) -> Result<(Vec<u8>, bool), Unread> {
    let file = File::from(open(root, relative, OFlags::empty())?);
    let io = |error: io::Error| Unread::Refused(error.to_string());
    let found = file.metadata().map_err(io)?;
    if !found.is_file() {
        return refused("it is no regular file");
    }
    if found.nlink() != 1 {
        return refused("it has a second name (hard link); copy it");
    }
    let too_large = || refused(format!("it is larger than {} KiB", max >> 10));
    if found.len() > max as u64 {
        return too_large();
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > max { too_large() } else { Ok((bytes, found.mode() & 0o100 != 0)) }
}

/// A file that a kit brings.
#[derive(Debug)]
pub(in crate::kit) struct FoundFile {
    /// From the folder.
    pub(in crate::kit) path: String,
    pub(in crate::kit) executable: bool,
    pub(in crate::kit) bytes: Vec<u8>,
}

/// The names of the folders that lie directly in a folder; of very many only some.
pub(in crate::kit) fn folders_beneath(base: &Path, folder: &Path) -> Result<Vec<String>, Unread> {
    let descriptor = open(&root(base)?, folder, OFlags::DIRECTORY)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&descriptor).map_err(unread)?.take(FILES_MAX) {
        let entry = entry.map_err(unread)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if entry.file_type() == FileType::Directory {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// All files below a folder, in order.
pub(in crate::kit) fn files_beneath(base: &Path, folder: &Path) -> Result<Vec<FoundFile>, Unread> {
    let root = root(base)?;
    let mut paths = Vec::new();
    walk(&root, folder, Path::new(""), 0, &mut paths)?;
    paths.sort_unstable();
    let file = |path: String| {
        let (bytes, executable) =
            read(&root, &folder.join(&path), BYTES_MAX).map_err(|error| match error {
                Unread::NotThere => Unread::Refused(format!("{path} is gone")),
                Unread::Refused(reason) => Unread::Refused(format!("{path}: {reason}")),
            })?;
        Ok(FoundFile { path, executable, bytes })
    };
    paths.into_iter().map(file).collect()
}

fn walk(
    root: &OwnedFd,
    folder: &Path,
    below: &Path,
    depth: usize,
    paths: &mut Vec<String>,
) -> Result<(), Unread> {
    if depth > DEPTH_MAX {
        return refused(format!("folders nest more than {DEPTH_MAX} deep"));
    }
    let descriptor = open(root, &folder.join(below), OFlags::DIRECTORY)?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in Dir::read_from(&descriptor).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let Ok(name) = entry.file_name().to_str() else { return refused("a name is not UTF-8") };
        if matches!(name, "." | "..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let found = statat(&descriptor, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                FileType::from_raw_mode(found.map_err(unread)?.st_mode)
            }
            kind => kind,
        };
        let path = below.join(name);
        // Links are among the files, so that opening one says why it is refused.
        if kind == FileType::Directory {
            folders.push(path);
        } else {
            paths.push(path.to_string_lossy().into_owned());
        }
        if paths.len() + folders.len() > FILES_MAX {
            return refused(format!("more than {FILES_MAX} files"));
        }
    }
    folders.iter().try_for_each(|below| walk(root, folder, below, depth + 1, paths))
}
