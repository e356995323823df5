//! Files of the kit, written before the agent can run.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path},
};

use super::{
    BootError, Stage,
    account::AGENT_ID,
    place::follow,
    share::Move,
    tree::{self, Owner},
};
use crate::wire::GuestFile;

/// Writes all files; a path inside a mount that moved follows it.
///
/// # Errors
/// Which file cannot be written.
pub fn write_all(files: &[GuestFile], moves: &[Move]) -> Result<(), BootError> {
    for file in files {
        let path = follow(Path::new(&file.path), moves);
        let owner = if file.agent { (AGENT_ID, AGENT_ID) } else { (0, 0) };
        // Set-id bits could only serve to confuse: the agent is root when it wants.
        write(&path, &file.content, file.mode & 0o777, owner).stage("file", path.display())?;
    }
    Ok(())
}

fn write(path: &Path, content: &str, mode: u32, owner: Owner) -> io::Result<()> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute() && plain)
    else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain absolute path"));
    };
    tree::make_folders(parent, owner)?;
    let mut fresh = OsString::from(".");
    fresh.push(name);
    fresh.push(".cofferdam-new");
    let fresh = parent.join(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Narrow first: what it holds is for its owner alone until mode and owner are right.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(content.as_bytes())?;
    tree::own(&fresh, owner)?;
    fs::set_permissions(&fresh, Permissions::from_mode(mode))?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_replaces_a_link_and_gets_its_mode() {
        let root = std::env::temp_dir().join(format!("cofferdam-files-{}", std::process::id()));
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("victim"), "mine").unwrap();
        std::os::unix::fs::symlink(root.join("victim"), root.join("sub/settings")).unwrap();
        let meta = fs::metadata(&root).unwrap();
        write(&root.join("sub/settings"), "new", 0o640, (meta.uid(), meta.gid())).unwrap();
        assert_eq!(fs::read_to_string(root.join("victim")).unwrap(), "mine");
        let written = fs::symlink_metadata(root.join("sub/settings")).unwrap();
        assert!(written.is_file() && written.mode() & 0o7777 == 0o640);
        assert!(write(Path::new("/a/../b"), "", 0o644, (0, 0)).is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
