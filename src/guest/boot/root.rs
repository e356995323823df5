//! The root file system: template below, what its build steps changed on it, system disk above, and the move into it.
//!
//! A layer is the system disk of a machine that ran a build step and was switched off in order. Only guests ever mount
//! one: the host keeps it as a block of bytes.
//!
//! The disks stay mounted in the initramfs, below the new root, where no path leads. [`Sealed`] keeps a
//! descriptor to each, for bind mounts now and for a clean end later.

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{MountFlags, mount, mount_move, mount_remount},
};

use super::{BootError, Stage, disks::Found};

/// ext4 without the background writing of inode tables, which would fill a sparse image for nothing.
const EXT4_OPTIONS: &std::ffi::CStr = c"discard,noinit_itable";
const NEW_ROOT: &str = "/cofferdam/root";

/// The disks, out of reach of every path.
#[derive(Debug)]
pub struct Sealed {
    system: OwnedFd,
    /// Root of the data disk.
    pub data: Option<OwnedFd>,
}

/// Mounts the disks and the overlay, not yet as root.
///
/// # Errors
/// Which disk does not mount.
pub fn assemble(found: &Found) -> Result<Sealed, BootError> {
    let stage = "root file system";
    let layers: Vec<String> = (0..found.layers.len()).map(|number| format!("layer{number}")).collect();
    let fixed = ["template", "system", "data", "root"];
    for folder in fixed.into_iter().chain(layers.iter().map(String::as_str)) {
        fs::create_dir_all(Path::new("/cofferdam").join(folder)).stage(stage, folder)?;
    }
    let read_only = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOATIME;
    mount(&found.template, "/cofferdam/template", "squashfs", read_only, None)
        .stage(stage, "template disk")?;
    for (node, folder) in found.layers.iter().zip(&layers) {
        // A journal that would have to be replayed is refused here: the disk cannot be written.
        mount(node, Path::new("/cofferdam").join(folder), "ext4", read_only, None).stage(stage, folder)?;
    }
    let writable = MountFlags::NOATIME;
    mount(&found.system, "/cofferdam/system", "ext4", writable, EXT4_OPTIONS).stage(stage, "system disk")?;
    if let Some(data) = &found.data {
        mount(data, "/cofferdam/data", "ext4", writable | MountFlags::NODEV, EXT4_OPTIONS)
            .stage(stage, "data disk")?;
    }
    for folder in ["upper", "work"] {
        fs::create_dir_all(Path::new("/cofferdam/system").join(folder)).stage(stage, folder)?;
    }
    let options = CString::new(overlay_options(&layers)).map_err(io::Error::from).stage(stage, "overlay")?;
    mount("overlay", NEW_ROOT, "overlay", MountFlags::NOATIME, options.as_c_str()).stage(stage, "overlay")?;
    let data = found.data.as_ref().map(|_| hold("/cofferdam/data")).transpose()?;
    Ok(Sealed { system: hold("/cofferdam/system")?, data })
}

/// The uppermost layer first. `redirect_dir`: directories of the template can be renamed; else rename(2) fails with EXDEV.
fn overlay_options(layers: &[String]) -> String {
    let layers = layers.iter().rev().map(|layer| format!("/cofferdam/{layer}/upper:"));
    let lower: String = layers.chain(["/cofferdam/template".to_owned()]).collect();
    format!(
        "lowerdir={lower},upperdir=/cofferdam/system/upper,workdir=/cofferdam/system/work,redirect_dir=on"
    )
}

fn hold(path: &str) -> Result<OwnedFd, BootError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).stage("root file system", path)
}

impl Sealed {
    /// Makes the overlay the root of this process and of all that it starts.
    ///
    /// # Errors
    /// When a mount does not move.
    pub fn enter(&self) -> Result<(), BootError> {
        let stage = "switch root";
        for name in ["proc", "sys", "dev"] {
            let target = Path::new(NEW_ROOT).join(name);
            fs::create_dir_all(&target).stage(stage, name)?;
            mount_move(Path::new("/").join(name), target).stage(stage, name)?;
        }
        std::env::set_current_dir(NEW_ROOT).stage(stage, NEW_ROOT)?;
        mount_move(".", "/").stage(stage, "/")?;
        rustix::process::chroot(".").stage(stage, "/")?;
        std::env::set_current_dir("/").stage(stage, "/")
    }

    /// Makes all file systems clean: to be called when no other process is left. Whatever still refuses has at
    /// least been synced, and its journal does the rest.
    pub fn close(&self) {
        rustix::fs::sync();
        let _ = mount_remount("/", MountFlags::RDONLY, c"");
        for disk in self.data.iter().chain([&self.system]) {
            let _ = mount_remount(in_proc(disk), MountFlags::RDONLY, c"");
        }
        rustix::fs::sync();
    }
}

/// A path to an open folder that no other path leads to.
pub fn in_proc(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Mounts the modules image at `/lib/modules`. Without it the machine works, but loads no further module.
pub fn modules(disk: &Path, notes: &mut Vec<String>) {
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    let result = fs::create_dir_all("/lib/modules")
        .and_then(|()| mount(disk, "/lib/modules", "squashfs", flags, None).map_err(io::Error::from));
    if let Err(error) = result {
        notes.push(format!("/lib/modules: {error}; no further kernel module can be loaded"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layer_lies_above_the_others_and_the_template_below_all() {
        let options = overlay_options(&["layer0".to_owned(), "layer1".to_owned()]);
        let lower = "lowerdir=/cofferdam/layer1/upper:/cofferdam/layer0/upper:/cofferdam/template,";
        assert!(options.starts_with(lower), "{options}");
        assert!(overlay_options(&[]).starts_with("lowerdir=/cofferdam/template,upperdir="));
        // One page holds the options of a mount (mount(2)).
        let most: Vec<String> = (0..16).map(|number| format!("layer{number}")).collect();
        assert!(overlay_options(&most).len() < 4096);
    }
}
