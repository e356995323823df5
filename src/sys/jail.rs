//! The jail that a zone enters before its first thread and before it touches anything hostile.
//!
//! Its layers, each of which holds alone against something (`DESIGN.md`, section 2): no new privileges, another
//! user without capabilities (when started as root), no core dump and no ptrace, resource limits, no stray
//! descriptor, Landlock over the file system (and TCP, signals and abstract sockets where the kernel can), a
//! seccomp list of refused system calls, and network and IPC namespaces where the host allows them.
//!
//! What is demanded and cannot be had is an error; what the host may lack is reported in [`Entered::missing`].

mod credentials;
mod filesystem;
mod limits;
mod syscalls;

use std::{io, os::fd::RawFd, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use self::syscalls::{PROGRAM_DESCRIPTOR, Profile};

/// What a zone keeps when it enters its jail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jail {
    /// Which system calls it needs.
    pub profile: Profile,
    /// User and group to become; needs root, `None` keeps the user.
    pub become_user: Option<(u32, u32)>,
    /// Trees that it may read (and execute from, where that is said).
    pub readable: Vec<PathBuf>,
    /// Files that it may execute.
    pub executable: Vec<PathBuf>,
    /// Devices that it may open, read, write and control.
    pub devices: Vec<PathBuf>,
    /// Trees that it serves, by descriptor.
    pub trees: Vec<Tree>,
    /// Open descriptors it may have at most.
    pub max_descriptors: u64,
    /// First descriptor number that is closed; those below are the zone's own.
    pub close_from: RawFd,
}

/// A tree of files that a zone was handed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Tree {
    /// Number of its root's descriptor.
    pub descriptor: RawFd,
    /// Whether it may be written.
    pub write: bool,
}

/// What entering gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// Layers that this host lacks, in words for `doctor` and `status`.
    pub missing: Vec<String>,
}

/// Why the jail could not be entered. The zone must end.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A layer that every host must have could not be set up.
    #[error("cannot enter the jail: {layer}")]
    Layer {
        /// Which.
        layer: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The process has threads already, which would stay outside.
    #[error("cannot enter the jail: the process has {0} threads")]
    Threads(usize),
}

/// Enters the jail. There is no way out of it.
///
/// # Errors
/// When a layer that every host must have could not be set up.
pub fn enter(jail: &Jail) -> Result<Entered, JailError> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(JailError::Threads(threads));
    }
    let layer = |layer| move |source| JailError::Layer { layer, source };
    super::descriptors::close_from(jail.close_from);
    limits::set(jail.max_descriptors).map_err(layer("resource limits"))?;
    let mut missing = Vec::new();
    if !jail.profile.needs_network() && !credentials::leave_namespaces() {
        missing.push("network and IPC namespaces (unprivileged user namespaces are off)".to_owned());
    }
    let rules = filesystem::prepare(jail).map_err(layer("Landlock"))?;
    credentials::drop_privileges(jail.become_user).map_err(layer("user and capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(io::Error::from).map_err(layer("no new privileges"))?;
    // After the change of user, which resets it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(io::Error::from)
        .map_err(layer("no core dump"))?;
    missing.extend(filesystem::restrict(rules).map_err(layer("Landlock"))?);
    syscalls::install(jail.profile).map_err(layer("seccomp"))?;
    Ok(Entered { missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `story` in a forked child, which has one thread and may enter a jail.
    fn alone(story: fn()) {
        // SAFETY: the child runs one closure and leaves by `_exit`; glibc makes its allocator usable after a fork.
        match unsafe { libc::fork() } {
            0 => {
                let code = i32::from(std::panic::catch_unwind(story).is_err());
                // SAFETY: ends the child without running the test harness' exit handlers.
                unsafe { libc::_exit(code) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child made above.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert!(libc::WIFEXITED(status), "the child was killed by signal {}", libc::WTERMSIG(status));
                assert_eq!(libc::WEXITSTATUS(status), 0, "the child's story failed; its panic is above");
            }
        }
    }

    fn jail(profile: Profile) -> Jail {
        Jail {
            profile,
            become_user: rustix::process::geteuid().is_root().then_some((1_000_000_007, 1_000_000_007)),
            readable: vec!["/usr/lib".into(), "/lib".into()],
            executable: Vec::new(),
            devices: Vec::new(),
            trees: Vec::new(),
            max_descriptors: 64,
            close_from: 3,
        }
    }

    fn errno(result: libc::c_long) -> i32 {
        if result < 0 { io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
    }

    #[test]
    fn a_sealed_zone_reaches_nothing() {
        alone(|| {
            enter(&jail(Profile::Sealed)).unwrap();
            let denied = |name: &str, result: libc::c_long| assert_eq!(errno(result), libc::EPERM, "{name}");
            let path = c"/etc/hostname";
            // SAFETY: system calls with valid or null pointers, whose failure is what is tested.
            unsafe {
                denied("socket", libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0));
                denied("connect", libc::syscall(libc::SYS_connect, 0, std::ptr::null::<u8>(), 0));
                denied("bind", libc::syscall(libc::SYS_bind, 0, std::ptr::null::<u8>(), 0));
                denied("ptrace", libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0));
                denied("execve", libc::syscall(libc::SYS_execve, path.as_ptr(), 0, 0));
                denied(
                    "execveat",
                    libc::syscall(libc::SYS_execveat, 250, c"".as_ptr(), 0, 0, libc::AT_EMPTY_PATH),
                );
                denied("chmod", libc::syscall(libc::SYS_chmod, path.as_ptr(), 0o777));
                denied("chown", libc::syscall(libc::SYS_chown, path.as_ptr(), 0, 0));
                denied("truncate", libc::syscall(libc::SYS_truncate, path.as_ptr(), 0));
                denied("utimensat", libc::syscall(libc::SYS_utimensat, libc::AT_FDCWD, path.as_ptr(), 0, 0));
                denied("setxattr", libc::syscall(libc::SYS_setxattr, path.as_ptr(), path.as_ptr(), 0, 0, 0));
                denied("kill", libc::syscall(libc::SYS_kill, 1, 0));
                denied("unshare", libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER));
                denied(
                    "clone",
                    libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0),
                );
                denied("io_uring", libc::syscall(libc::SYS_io_uring_setup, 1, 0));
                denied("x32", libc::syscall(i64::from(0x4000_0000 | libc::SYS_getpid as u32)));
                assert_eq!(errno(libc::syscall(libc::SYS_clone3, 0, 0)), libc::ENOSYS);
            }
            assert_eq!(std::fs::read("/etc/hostname").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(std::fs::write("/tmp/x", "").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert!(std::fs::read_dir("/proc/1").is_err());
            assert!(!rustix::process::geteuid().is_root());
            std::thread::spawn(|| assert!(std::fs::read("/etc/hostname").is_err())).join().unwrap();
            std::os::unix::net::UnixStream::pair().unwrap();
            assert!(std::os::unix::net::UnixDatagram::pair().is_err());
        });
    }

    #[test]
    fn outside_the_jail_the_same_calls_pass() {
        // The deliberate break: without `enter`, what the test above forbids works.
        assert!(std::fs::read("/etc/passwd").is_ok());
        // SAFETY: a plain system call.
        let socket = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) };
        assert!(socket >= 0);
        // SAFETY: opened above and owned by nobody else.
        unsafe { libc::close(socket) };
        std::os::unix::net::UnixDatagram::pair().unwrap();
    }

    #[test]
    fn a_network_zone_has_internet_sockets_only() {
        alone(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let mut jail = jail(Profile::Network);
            jail.close_from = 64;
            enter(&jail).unwrap();
            std::net::TcpStream::connect(address).unwrap();
            std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
            assert!(
                std::os::unix::net::UnixStream::connect("/run/x").unwrap_err().kind()
                    == io::ErrorKind::PermissionDenied
            );
        });
    }

    #[test]
    fn a_process_with_threads_does_not_enter() {
        alone(|| {
            let (tell, told) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || told.recv().is_err());
            assert!(matches!(enter(&jail(Profile::Sealed)), Err(JailError::Threads(2))));
            drop(tell);
            assert!(thread.join().unwrap());
        });
    }
}
