//! Writing below a repository's root without following a link that somebody laid there.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Component, Path},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, openat, openat2, renameat_with,
        unlinkat,
    },
    io::Errno,
};

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
    let mut file = File::from(openat(&folder, &beside, flags, Mode::from_raw_mode(0o644))?);
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

/// Writes the file that a command line names. Below `folder`, where whoever made the checkout may have laid a link, as
/// [`write`](fn@write) does; elsewhere it is the operator's own place.
///
/// # Errors
/// As [`write`](fn@write).
pub(super) fn write_named(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let whole = folder.join(file);
    let climbs = whole.components().any(|part| part == Component::ParentDir);
    match whole.strip_prefix(folder).ok().filter(|_| !climbs).and_then(Path::to_str) {
        Some(below) => write(folder, below, bytes, true).map(drop),
        None => {
            file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(file, bytes)
        }
    }
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
        fs::remove_file(outside.path().join("summary")).unwrap();
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
