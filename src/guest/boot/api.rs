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
    // Commands join the agent's cgroup one by one. By default each such move waits for an RCU grace period, which
    // is longer than the start of a program; `favordynmods` (since 6.0) makes moves cheap.
    let root = "/sys/fs/cgroup";
    let flags = PLAIN | MountFlags::NOEXEC;
    mount_at("cgroup2", root, flags, c"nsdelegate,favordynmods")
        .or_else(|_| mount_at("cgroup2", root, flags, c"nsdelegate"))?;
    let write = |path: String, text: &str| fs::write(&path, text).stage("cgroup", &path);
    // One by one: a kernel may lack a controller, and only pids is needed here.
    write(format!("{root}/cgroup.subtree_control"), "+pids")?;
    for other in ["+memory", "+cpu", "+io", "+cpuset"] {
        let _ = write(format!("{root}/cgroup.subtree_control"), other);
    }
    for group in [AGENT_CGROUP, SERVER_CGROUP] {
        fs::create_dir_all(group).stage("cgroup", group)?;
    }
    let number = |path| fs::read_to_string(path).unwrap_or_default();
    let limit = process_limit(&number("/proc/sys/kernel/threads-max"), &number("/proc/meminfo"));
    write(format!("{AGENT_CGROUP}/pids.max"), &limit.to_string())?;
    // However many processes the agent has, the servers and the host's root commands get their turn.
    let _ = write(format!("{SERVER_CGROUP}/cpu.weight"), "10000");
    let _ = write(format!("{SERVER_CGROUP}/memory.min"), "32M");
    Ok(format!("{AGENT_CGROUP}/cgroup.procs"))
}

/// One process per MiB of memory, which a small one needs, within sense; at most half of what the kernel allows
/// in all.
fn process_limit(threads_max: &str, meminfo: &str) -> u64 {
    let memory_kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let memory_mib = memory_kib
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(4096, |kib| kib / 1024);
    let half = threads_max.trim().parse().map_or(4096, |total: u64| total / 2);
    memory_mib.clamp(1024, 16_384).min(half.max(512))
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
    fn the_agent_gets_a_share_of_the_processes() {
        let of = |threads: &str, gib: u64| process_limit(threads, &format!("MemTotal: {} kB\n", gib << 20));
        assert_eq!(of("7800\n", 1), 1024);
        assert_eq!(of("31200\n", 4), 4096);
        assert_eq!(of("100", 4), 512);
        assert_eq!(of("4000000", 64), 16_384);
        assert_eq!(process_limit("", ""), 4096);
    }
}
