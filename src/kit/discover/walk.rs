//! Looks through a folder for our files, over no link and within bounds.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{AtFlags, Dir, FileType, OFlags, statat},
    io::Errno,
};

use super::{DEFAULT_FILE, DEFAULT_FOLDER, DiscoverError, FILES_MAX, LOCAL_FILE, Root, io_error, refused};

/// Deepest folder and most entries that are looked at.
const DEPTH_MAX: usize = 32;
const ENTRIES_MAX: usize = 2_000_000;

/// The paths below a folder that name our files, in order.
pub(super) fn walk(root: &Root, folder: &Path) -> Result<Vec<PathBuf>, DiscoverError> {
    let mut walk = Walk { root, paths: Vec::new(), entries: 0 };
    walk.folder(folder, 0)?;
    walk.paths.sort_unstable();
    Ok(walk.paths)
}

struct Walk<'a> {
    root: &'a Root,
    paths: Vec<PathBuf>,
    entries: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), DiscoverError> {
        if depth > DEPTH_MAX {
            return refused(
                folder,
                format!("folders nest more than {DEPTH_MAX} deep; name a folder further inside"),
            );
        }
        let descriptor = self.root.open(folder, OFlags::DIRECTORY)?;
        let ours = folder.file_name().is_some_and(|name| name == DEFAULT_FOLDER);
        let mut below = Vec::new();
        let failed = |error: Errno| io_error(folder)(error.into());
        for entry in Dir::read_from(&descriptor).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return refused(
                    folder,
                    format!("more than {ENTRIES_MAX} entries; name a folder further inside"),
                );
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let found =
                        statat(&descriptor, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                    FileType::from_raw_mode(found.st_mode)
                }
                kind => kind,
            };
            if kind == FileType::Directory && (!name.starts_with('.') || name == DEFAULT_FOLDER) {
                below.push(folder.join(name));
            } else if kind != FileType::Directory && is_ours(name, ours) {
                self.paths.push(folder.join(name));
            }
        }
        if self.paths.len() > FILES_MAX {
            return refused(folder, format!("more than {FILES_MAX} files; name a folder further inside"));
        }
        below.into_iter().try_for_each(|folder| self.folder(&folder, depth + 1))
    }
}

/// Whether a file of this name holds documents. Links are among them, so that opening one says why it is refused.
pub(super) fn is_ours(name: &str, in_our_folder: bool) -> bool {
    let named = matches!(name, DEFAULT_FILE | "kit.yaml") || name.ends_with(".sandbox.yaml");
    named || (in_our_folder && name.ends_with(".yaml") && !matches!(name, "approvals.yaml" | LOCAL_FILE))
}
