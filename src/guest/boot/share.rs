//! Host folders by virtio-fs, and the working directory that lies in one of them.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, mount};

use super::{
    BootError, Stage,
    account::{AGENT_HOME, AGENT_ID},
    place::{Place, follow, place},
    tree,
};
use crate::wire::GuestMount;

/// A mount that is not where the host has it: from, to.
pub type Move = (PathBuf, PathBuf);

/// Mounts all folders, in order. A folder that moved is noted.
///
/// # Errors
/// Which folder does not mount: a sandbox without its workspace is of no use.
pub fn mount_all(mounts: &[GuestMount], notes: &mut Vec<String>) -> Result<Vec<Move>, BootError> {
    let (mut moves, mut taken) = (Vec::new(), Vec::new());
    for each in mounts {
        let wanted = Path::new(&each.target);
        let target = match place(wanted, reachable, |path| taken.iter().any(|other| other == path)) {
            Place::Same => wanted.to_owned(),
            Place::Moved(path, why) => {
                notes.push(format!("{} is mounted at {}: {why}", each.target, path.display()));
                moves.push((wanted.to_owned(), path.clone()));
                path
            }
        };
        mount_one(each, &target).stage("mount", format!("{} (tag {})", target.display(), each.tag))?;
        taken.push(target);
    }
    Ok(moves)
}

fn mount_one(each: &GuestMount, target: &Path) -> io::Result<()> {
    // In the agent's home, what is made on the way belongs to the agent.
    let owner = if target.starts_with(AGENT_HOME) { (AGENT_ID, AGENT_ID) } else { (0, 0) };
    tree::make_folders(target, owner)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if each.read_only {
        flags |= MountFlags::RDONLY;
    }
    Ok(mount(&each.tag, target, "virtiofs", flags, None)?)
}

/// Whether the agent may search every folder above `target` that exists.
fn reachable(target: &Path) -> bool {
    target.ancestors().skip(1).all(|folder| match fs::metadata(folder) {
        Ok(meta) => meta.is_dir() && may_search(meta.mode(), meta.uid(), meta.gid()),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    })
}

fn may_search(mode: u32, uid: u32, gid: u32) -> bool {
    let bit = match (uid, gid) {
        (AGENT_ID, _) => 0o100,
        (_, AGENT_ID) => 0o010,
        _ => 0o001,
    };
    mode & bit != 0
}

/// Where the agent works: inside the mount that moved, where it did. Made when it is missing.
///
/// # Errors
/// When something in the way is no folder.
pub fn working_dir(wanted: Option<&str>, moves: &[Move]) -> Result<Option<String>, BootError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let path = follow(Path::new(wanted), moves);
    tree::make_folders(&path, (AGENT_ID, AGENT_ID)).stage("working directory", path.display())?;
    Ok(Some(path.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_permission_is_the_agents_own() {
        assert!(may_search(0o755, 0, 0));
        assert!(!may_search(0o700, 0, 0));
        assert!(may_search(0o700, AGENT_ID, 0));
        assert!(!may_search(0o705, 0, AGENT_ID));
    }
}
