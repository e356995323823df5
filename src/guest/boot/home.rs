//! What survives when the sandbox is replaced: folders of the data disk in their places.
//!
//! `/var/lib/docker` and its like are among them because overlay on overlay is refused by the kernel.
//!
//! A machine that builds a template has no data disk: what its steps leave in `/home/agent` becomes the template's, and
//! with that the first content of every home that is made from it.

use std::{fs, io, path::Path};

use rustix::mount::mount_bind;

use super::{
    BootError, Stage,
    account::{AGENT_HOME, AGENT_ID},
    root::{Sealed, in_proc},
    tree,
};

/// Folder of the data disk, and where it belongs.
const FOLDERS: [(&str, &str); 4] = [
    ("home", "/home"),
    ("cofferdam", "/var/lib/cofferdam"),
    ("docker", "/var/lib/docker"),
    ("containerd", "/var/lib/containerd"),
];

/// Puts the data disk's folders in their places; on the first boot, `/home/agent` is filled from the template. Without
/// such a disk the home is made where it belongs.
///
/// # Errors
/// Which folder cannot be made or bound.
pub fn bind(sealed: &Sealed) -> Result<(), BootError> {
    let Some(data) = &sealed.data else {
        return furnish(Path::new(AGENT_HOME), Path::new("/home")).stage("home", AGENT_HOME);
    };
    let data = in_proc(data);
    for (name, target) in FOLDERS {
        let source = Path::new(&data).join(name);
        tree::make_folders(&source, (0, 0)).stage("data disk", name)?;
        if name == "home" {
            furnish(Path::new(AGENT_HOME), &source).stage("data disk", AGENT_HOME)?;
        }
        fs::create_dir_all(target).stage("data disk", target)?;
        mount_bind(&source, target).stage("data disk", target)?;
    }
    Ok(())
}

/// Makes the agent's home below `homes`, once, from the template's.
fn furnish(template: &Path, homes: &Path) -> io::Result<()> {
    let (home, unfinished) = (homes.join("agent"), homes.join(".agent.unfinished"));
    if home.is_dir() {
        return Ok(());
    }
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let owner = (AGENT_ID, AGENT_ID);
    let skeleton = [template, Path::new("/etc/skel")].into_iter().find(|folder| folder.is_dir());
    match skeleton {
        Some(skeleton) => tree::copy(skeleton, &unfinished, owner)?,
        None => {
            fs::create_dir(&unfinished)?;
            tree::own(&unfinished, owner)?;
        }
    }
    // Only a whole copy bears the name: a power cut during the first boot is repaired by the second.
    fs::rename(&unfinished, &home)
}
