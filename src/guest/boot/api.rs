//! The kernel's own file systems, and the cgroup that bounds the agent.

use std::{fs, io, path::Path};

use rustix::{
    fs::Mode,
    io::Errno,
    mount::{MountFlags, mount},
};

use super::{BootError, Stage};

/// The agent's cgroup.
const AGENT_CGROUP: &str = "/sys/fs/cgroup/agent";
/// The cgroup of our own servers.
pub const SERVER_CGROUP: &str = "/sys/fs/cgroup/cofferdam";

fn mount_at(kind: &str, target: &str, flags: MountFlags, options: &std::ffi::CStr) -> Result<(), BootError> {
    fs::create_dir_all(target).stage("mounts", target)?;
    match mount(kind, target, kind, flags, options) {
        // Mounted already, by the kernel or the initramfs.
        Err(Errno::BUSY) => Ok(()),
        result => result.stage("mounts", target),
    }
}

const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// What the initramfs needs: `/proc`, `/sys`, `/dev`.
///
/// # Errors
/// Which one does not mount.
pub fn mount_first() -> Result<(), BootError> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    mount_at("proc", "/proc", PLAIN | MountFlags::NOEXEC, c"")?;
    mount_at("sysfs", "/sys", PLAIN | MountFlags::NOEXEC, c"")?;
    mount_at("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755")
}

/// What programs expect beside those, in the new root.
///
/// # Errors
/// Which one does not mount.
pub fn mount_rest() -> Result<(), BootError> {
    let shielded = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount_at("devpts", "/dev/pts", shielded, c"gid=5,mode=620,ptmxmode=666")?;
    mount_at("tmpfs", "/dev/shm", PLAIN, c"mode=1777")?;
    mount_at("tmpfs", "/run", PLAIN, c"mode=0755")?;
    mount_at("tmpfs", "/tmp", PLAIN, c"mode=1777")?;
    fs::create_dir_all("/run/lock").stage("mounts", "/run/lock")?;
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ] {
        // There already is as good.
        let _ = std::os::unix::fs::symlink(target, link);
    }
    Ok(())
}

/// Mounts cgroup2 and bounds the number of the agent's processes, so that a fork bomb leaves room for the exec
/// server. Returns the file through which processes join.
pub fn limit_agent(notes: &mut Vec<String>) -> Option<String> {
    match try_limit_agent() {
        Ok(procs) => Some(procs),
        Err(error) => {
            notes.push(format!("no process limit for the agent: {error}"));
            None
        }
    }
}

fn try_limit_agent() -> Result<String, BootError> {
    mount_at("cgroup2", "/sys/fs/cgroup", PLAIN | MountFlags::NOEXEC, c"nsdelegate")?;
    let write = |path: &str, text: String| fs::write(path, text).stage("cgroup", path);
    // One by one: a kernel may lack a controller, and only pids is needed here.
    write("/sys/fs/cgroup/cgroup.subtree_control", "+pids".into())?;
    for other in ["+memory", "+cpu", "+io", "+cpuset"] {
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", other);
    }
    for group in [AGENT_CGROUP, SERVER_CGROUP] {
        fs::create_dir_all(group).stage("cgroup", group)?;
    }
    let total = fs::read_to_string("/proc/sys/kernel/threads-max").unwrap_or_default();
    write(&format!("{AGENT_CGROUP}/pids.max"), process_limit(&total).to_string())?;
    // A root exec of the host moves out of nothing: servers' own cgroup is unlimited.
    let procs = Path::new(AGENT_CGROUP).join("cgroup.procs");
    Ok(procs.to_string_lossy().into_owned())
}

/// Half of what the kernel allows in all, within sense.
fn process_limit(threads_max: &str) -> u32 {
    threads_max.trim().parse().map_or(4096, |total: u32| total / 2).clamp(512, 16_384)
}

/// Moves this process to the servers' cgroup and out of the out-of-memory killer's sight, as far as that works.
pub fn shield_server() {
    let _: io::Result<()> = fs::write(Path::new(SERVER_CGROUP).join("cgroup.procs"), "0");
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_gets_half_of_the_processes() {
        assert_eq!(process_limit("7800\n"), 3900);
        assert_eq!(process_limit("100"), 512);
        assert_eq!(process_limit("4000000"), 16_384);
        assert_eq!(process_limit(""), 4096);
    }
}
