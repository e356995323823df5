//! What the folder of objects has to be before the library opens it: folders and regular files, all in one place. The
//! library follows every link, waits at a pipe for who writes, and reads whatever folder `alternates` names.

use std::{fs, io, path::Path};

use super::HistoryError;

/// Most objects and packs that are looked at; `git gc` leaves some thousands.
const ENTRIES_MAX: usize = 4_000_000;
/// Files that name other folders of objects.
const ELSEWHERE: [&str; 2] = ["info/alternates", "info/http-alternates"];

/// # Errors
/// When something in it leads elsewhere or is no regular file.
pub(super) fn check(objects: &Path) -> Result<(), HistoryError> {
    let special = |path: &Path| HistoryError::Special(path.to_owned());
    for path in ELSEWHERE.map(|name| objects.join(name)) {
        if path.symlink_metadata().is_ok() {
            return Err(HistoryError::Elsewhere(path));
        }
    }
    let mut seen = 0;
    for folder in entries(objects).map_err(|_| special(objects))? {
        let folder = folder.map_err(|_| special(objects))?;
        if !is_read(&folder.file_name()) {
            continue;
        }
        let path = folder.path();
        for entry in entries(&path).map_err(|_| special(&path))? {
            let entry = entry.map_err(|_| special(&path))?;
            seen += 1;
            if seen > ENTRIES_MAX || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                return Err(special(&entry.path()));
            }
        }
    }
    Ok(())
}

/// What lies in a folder that is one, and no link to one.
fn entries(folder: &Path) -> io::Result<fs::ReadDir> {
    match folder.symlink_metadata()?.is_dir() {
        true => fs::read_dir(folder),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Whether objects are looked for in a folder of this name: packs, or the first two digits of a name.
fn is_read(name: &std::ffi::OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name == b"pack" || (name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit))
}
