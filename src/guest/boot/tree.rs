//! Folders and copies of folders, as the steps of boot need them.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink},
    path::Path,
};

/// Owner of what is made, by user and group id.
pub type Owner = (u32, u32);

/// Makes `path` and what is missing above it, 0755, owned by `owner`. What exists keeps its owner.
///
/// # Errors
/// When something in the way is no folder.
pub fn make_folders(path: &Path, owner: Owner) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folders(parent, owner)?;
    }
    fs::DirBuilder::new().mode(0o755).create(path)?;
    own(path, owner)
}

/// Gives `path` to `owner`, unless it has it already: a shared folder shows every file as the agent's and refuses
/// to change that.
///
/// # Errors
/// What lchown(2) says.
pub fn own(path: &Path, owner: Owner) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if (meta.uid(), meta.gid()) == owner { Ok(()) } else { lchown(path, Some(owner.0), Some(owner.1)) }
}

/// Depth beyond which a skeleton is no skeleton.
const DEPTH_MAX: usize = 64;

/// Copies a folder with modes and symbolic links; everything in the copy belongs to `owner`. Anything that is
/// neither file, folder nor link stays behind.
///
/// # Errors
/// When something cannot be read or written, or the folder is deeper than sensible.
pub fn copy(from: &Path, to: &Path, owner: Owner) -> io::Result<()> {
    copy_level(from, to, owner, DEPTH_MAX)
}

fn copy_level(from: &Path, to: &Path, owner: Owner, depth: usize) -> io::Result<()> {
    let Some(depth) = depth.checked_sub(1) else { return Err(io::Error::other("folders nested too deeply")) };
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_level(&source, &target, owner, depth)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            own(&target, owner)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            own(&target, owner)?;
        }
    }
    own(to, owner)?;
    let mode = fs::metadata(from)?.mode() & 0o777;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skeleton_keeps_modes_and_links() {
        let root = std::env::temp_dir().join(format!("cofferdam-tree-{}", std::process::id()));
        let (from, to) = (root.join("a"), root.join("b"));
        fs::create_dir_all(from.join("bin")).unwrap();
        fs::write(from.join("bin/run"), "x").unwrap();
        fs::set_permissions(from.join("bin/run"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("bin/run", from.join("run")).unwrap();
        let meta = fs::metadata(&root).unwrap();
        copy(&from, &to, (meta.uid(), meta.gid())).unwrap();
        assert_eq!(fs::metadata(to.join("bin/run")).unwrap().mode() & 0o777, 0o750);
        assert_eq!(fs::read_link(to.join("run")).unwrap(), Path::new("bin/run"));
        assert!(copy_level(&from, &root.join("c"), (meta.uid(), meta.gid()), 1).is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
