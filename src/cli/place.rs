//! Writing below a repository's root without following a link that somebody laid there.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, openat, openat2, renameat_with,
        unlinkat,
    },
    io::Errno,
};

use crate::kit::Repository;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It holds the new text.
    New,
    /// It held that text already.
    Same,
    /// It holds something else and was left.
    Kept,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Writes a file at `path` below `root`, and the folders above it; one that is there only with `replace`.
///
/// # Errors
/// When a folder above it is a link, or the file system refuses.
pub(super) fn write(root: &Path, path: &str, bytes: &[u8], replace: bool) -> io::Result<Written> {
    write_as(root, path, bytes, replace, Mode::from_raw_mode(0o644))
}

fn write_as(root: &Path, path: &str, bytes: &[u8], replace: bool, mode: Mode) -> io::Result<Written> {
    let (folders, name) = path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
    let mut folder = openat(CWD, root, DIRECTORY, Mode::empty())?;
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = descend(&folder, part)?;
    }
    match current(&folder, name, bytes.len())? {
        Some(there) if there == bytes => return Ok(Written::Same),
        Some(_) if !replace => return Ok(Written::Kept),
        _ => {}
    }
    let beside = format!(".{name}.{}.tmp", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, &beside, flags, mode)?);
    let how = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    let moved = file
        .write_all(bytes)
        .and_then(|()| renameat_with(&folder, &beside, &folder, name, how).map_err(io::Error::from));
    if moved.is_err() {
        // What is left of a failed attempt; the failure itself is what counts.
        let _ = unlinkat(&folder, &beside, AtFlags::empty());
    }
    moved.map(|()| Written::New)
}

/// Writes the file that a command line names, from the working directory `folder`. In the repository, where whoever made
/// the checkout may have laid a link, as [`write`](fn@write) does; elsewhere it is the operator's own place,
/// and its folder has to be there.
///
/// # Errors
/// As [`write`](fn@write).
pub(super) fn write_named(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let whole = plain(&folder.join(file));
    match below_root(folder, &whole) {
        Some((root, below)) => write(&root, &below, bytes, true).map(drop),
        None => std::fs::write(whole, bytes),
    }
}

/// Whether a path that a command line names lies outside of the repository.
pub(super) fn is_elsewhere(folder: &Path, path: &Path) -> bool {
    below_root(folder, &plain(&folder.join(path))).is_none()
}

/// The same for a file that must not be there yet.
///
/// # Errors
/// `AlreadyExists`; otherwise as [`write`](fn@write).
pub(super) fn create_named(folder: &Path, file: &Path, bytes: &[u8], executable: bool) -> io::Result<()> {
    let whole = plain(&folder.join(file));
    let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
    match below_root(folder, &whole) {
        Some((root, below)) => match write_as(&root, &below, bytes, false, mode)? {
            Written::New => Ok(()),
            Written::Same | Written::Kept => Err(io::ErrorKind::AlreadyExists.into()),
        },
        None => {
            whole.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            File::from(openat(CWD, &whole, flags, mode)?).write_all(bytes)
        }
    }
}

/// The root of the repository that `folder` lies in, else the folder itself, and the path of a file from there; none
/// where it lies outside.
fn below_root(folder: &Path, whole: &Path) -> Option<(PathBuf, String)> {
    let repository = Repository::find(folder).ok().flatten().map(|found| found.root);
    [repository, Some(folder.to_owned())].into_iter().flatten().find_map(|root| {
        let below = whole.strip_prefix(&root).ok()?.to_str()?.to_owned();
        Some((root, below))
    })
}

/// A path without `.` and `..`, by its text: a folder that is a link leads nowhere here.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn descend(folder: &OwnedFd, part: &str) -> io::Result<OwnedFd> {
    match mkdirat(folder, part, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(folder, part, DIRECTORY, Mode::empty(), resolve)?)
}

/// What is there; a link or a folder counts as something else that is there. Of a long file only so much is read as
/// shows that it differs.
fn current(folder: &OwnedFd, name: &str, length: usize) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Ok(Some(Vec::new())),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(Some(Vec::new()));
    }
    let mut bytes = Vec::new();
    file.take(length as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_is_written_over_or_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(write(root, "a/b/c", b"x", false).unwrap(), Written::New);
        assert_eq!(write(root, "a/b/c", b"x", false).unwrap(), Written::Same);
        assert_eq!(write(root, "a/b/c", b"y", false).unwrap(), Written::Kept);
        assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"x");
        assert_eq!(write(root, "a/b/c", b"y", true).unwrap(), Written::New);
        assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"y");

        symlink(outside.path(), root.join("out")).unwrap();
        assert!(write(root, "out/x", b"x", true).is_err());
        fs::write(outside.path().join("mine"), "mine").unwrap();
        symlink(outside.path().join("mine"), root.join("link")).unwrap();
        assert_eq!(write(root, "link", b"x", false).unwrap(), Written::Kept);
        // Replaced is the link, not what it leads to.
        assert_eq!(write(root, "link", b"x", true).unwrap(), Written::New);
        assert_eq!(fs::read(outside.path().join("mine")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        symlink(outside.path().join("mine"), root.join("plan.md")).unwrap();
        for named in ["plan.md".into(), root.join("plan.md")] {
            write_named(root, &named, b"a plan").unwrap();
            assert_eq!(fs::read(root.join("plan.md")).unwrap(), b"a plan");
        }
        assert!(write_named(root, Path::new("out/plan.md"), b"a plan").is_err());
        assert_eq!(fs::read(outside.path().join("mine")).unwrap(), b"mine");
        write_named(root, &outside.path().join("summary"), b"a plan").unwrap();
        // From a folder of a repository the way up is guarded, too.
        for folder in [".git/objects", "sub"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let sub = root.canonicalize().unwrap().join("sub");
        assert!(write_named(&sub, Path::new("../out/plan.md"), b"a plan").is_err());
        assert!(create_named(&sub, Path::new("../out/kit.yaml"), b"a kit", false).is_err());
        create_named(&sub, Path::new("../kits/new/kit.yaml"), b"a kit", true).unwrap();
        let again = create_named(&sub, Path::new("../kits/new/kit.yaml"), b"a kit", true).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(outside.path().join("summary")).unwrap();
        assert!(write_named(root, &outside.path().join("no/such/plan.md"), b"a plan").is_err());
        assert!(!outside.path().join("no").exists(), "no folder is made elsewhere");
        // The break: a plain write goes through the link.
        fs::write(root.join("out/x"), "x").unwrap();
        assert!(outside.path().join("x").exists());
        assert_eq!(
            fs::read_dir(root)
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with("tmp"))
                .count(),
            0
        );
    }
}
