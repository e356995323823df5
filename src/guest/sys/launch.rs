//! Starts a program: clone(2) with `CLONE_VM | CLONE_VFORK`, as posix_spawn does it, because that costs the same
//! however large the caller is, and because posix_spawn itself can neither change the user nor say which step
//! failed.
//!
//! Between clone and exec the child shares the caller's memory and the caller stands still, so the child makes
//! raw system calls only: no allocation, no lock, no glibc wrapper that would notify "all threads".

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use super::check;

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// All that a program starts with. Its descriptors beyond 0, 1 and 2 are those without close-on-exec: none.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Paths to try, in order, as execvp(3) does.
    pub paths: &'a [CString],
    /// Arguments, the first being the program's name for itself.
    pub arguments: &'a [CString],
    /// Environment, as `NAME=value`.
    pub environment: &'a [CString],
    /// Standard input, output and error. Each must be 3 or above, or already in its place.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Entered as the new user.
    pub working_dir: &'a CStr,
    /// `None`: as the caller.
    pub identity: Option<&'a Identity>,
    /// A session of its own with standard input as controlling terminal; else only a process group of its own.
    pub terminal: bool,
    /// An open `cgroup.procs` to join.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// A program that runs.
#[derive(Debug)]
pub struct Child {
    /// Its process id, also that of its process group.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
}

/// Where a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Making the process, its session or its descriptors.
    Prepare = 1,
    /// Joining the cgroup.
    Cgroup = 2,
    /// Becoming the user.
    Identity = 3,
    /// Entering the working directory.
    WorkingDir = 4,
    /// Executing the file.
    Execute = 5,
}

/// A start that failed.
#[derive(Debug)]
pub struct LaunchError {
    /// At which step.
    pub step: Step,
    /// What the kernel said.
    pub source: io::Error,
}

/// What the child reads, and where it leaves its verdict.
struct Shared<'a> {
    launch: &'a Launch<'a>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// Descriptors that the program may have: servers raise theirs, programs start with what they are used to.
    descriptors: libc::rlimit,
    failure: Option<(Step, c_int)>,
}

const STACK_BYTES: usize = 64 * 1024;

/// Starts the program and returns once it executes.
///
/// # Errors
/// Which step failed, with the kernel's error; nothing is left behind then.
pub fn launch(launch: &Launch<'_>) -> Result<Child, LaunchError> {
    let prepare = |source| LaunchError { step: Step::Prepare, source };
    if launch.stdio.iter().zip(0..).any(|(fd, place)| fd.as_raw_fd() < 3 && fd.as_raw_fd() != place) {
        return Err(prepare(io::Error::from_raw_os_error(libc::EINVAL)));
    }
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let mut shared = Shared {
        launch,
        argv: pointers(launch.arguments),
        envp: pointers(launch.environment),
        descriptors: usual_descriptors(),
        failure: None,
    };
    let (pid, pidfd) = clone(&mut shared).map_err(prepare)?;
    match shared.failure {
        None => Ok(Child { pid, pidfd }),
        Some((step, errno)) => {
            // SAFETY: waits for our own child, which has ended; no status is asked for.
            unsafe { libc::waitpid(pid as c_int, ptr::null_mut(), 0) };
            Err(LaunchError { step, source: io::Error::from_raw_os_error(errno) })
        }
    }
}

/// 1,024, which select(2) can hold, and as many more as the caller may have.
fn usual_descriptors() -> libc::rlimit {
    let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let maximum = maximum.unwrap_or(libc::RLIM_INFINITY);
    libc::rlimit { rlim_cur: maximum.min(1024), rlim_max: maximum }
}

fn clone(shared: &mut Shared<'_>) -> io::Result<(u32, OwnedFd)> {
    let mut stack = vec![0u128; STACK_BYTES / mem::size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end;
    let mut pidfd: c_int = -1;
    // SAFETY: sigset_t is plain old data, and sigfillset initialises it.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { (mem::zeroed(), mem::zeroed()) };
    // SAFETY: both sets are live. No handler may run in the child, which has the caller's memory.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    // SAFETY: the stack is ours, aligned for u128 and outlives the child's use of it, because CLONE_VFORK holds
    // this thread until the child executes or exits; so does `shared`. CLONE_PIDFD writes to `pidfd`.
    let result = check(unsafe {
        libc::clone(
            child,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
            (&raw mut *shared).cast(),
            &raw mut pidfd,
        )
    });
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    let pid = result?;
    // SAFETY: the kernel made this descriptor for us.
    Ok((pid as u32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `clone` passes its `Shared`, which nobody else uses while the caller is held.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    let (step, errno) = run(shared);
    shared.failure = Some((step, errno));
    // SAFETY: ends this process only.
    unsafe { libc::_exit(127) }
}

/// Prepares and executes; returns only the failure.
fn run(shared: &Shared<'_>) -> (Step, c_int) {
    match prepare(shared) {
        Ok(()) => (Step::Execute, execute(shared)),
        Err(failure) => failure,
    }
}

/// A raw system call of up to three arguments, tagged with the step that it belongs to.
fn call(step: Step, number: libc::c_long, arguments: [usize; 3]) -> Result<libc::c_long, (Step, c_int)> {
    // SAFETY: every caller below passes what its call expects: descriptors, ids, and pointers into `Launch`.
    let result = unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2]) };
    // SAFETY: errno of this thread, which is the held caller's.
    if result < 0 { Err((step, unsafe { *libc::__errno_location() })) } else { Ok(result) }
}

fn prepare(shared: &Shared<'_>) -> Result<(), (Step, c_int)> {
    let launch = shared.launch;
    // Exec keeps what is ignored: SIGPIPE by Rust, and whatever our own parent ignored.
    for signal in 1..=libc::SIGSYS {
        // SAFETY: the table of handlers is the child's own; the kernel refuses the two that cannot be changed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    if let Some(procs) = launch.cgroup {
        let own = c"0";
        call(Step::Cgroup, libc::SYS_write, [procs.as_raw_fd() as usize, own.as_ptr() as usize, 1])?;
    }
    // Whatever the caller itself inherited stays behind, too. Kernels before 5.11 lack it; ours are newer.
    const CLOSE_ON_EXEC: usize = 4;
    let _ = call(Step::Prepare, libc::SYS_close_range, [3, u32::MAX as usize, CLOSE_ON_EXEC]);
    let limit = &raw const shared.descriptors as usize;
    call(Step::Prepare, libc::SYS_setrlimit, [libc::RLIMIT_NOFILE as usize, limit, 0])?;
    reset_oom_score();
    if launch.terminal {
        call(Step::Prepare, libc::SYS_setsid, [0; 3])?;
    } else {
        call(Step::Prepare, libc::SYS_setpgid, [0; 3])?;
    }
    for (place, fd) in launch.stdio.iter().enumerate() {
        call(Step::Prepare, libc::SYS_dup2, [fd.as_raw_fd() as usize, place, 0])?;
    }
    if launch.terminal {
        call(Step::Prepare, libc::SYS_ioctl, [0, libc::TIOCSCTTY as usize, 0])?;
    }
    if let Some(Identity { uid, gid, groups }) = launch.identity {
        let (uid, gid) = (*uid as usize, *gid as usize);
        call(Step::Identity, libc::SYS_setgroups, [groups.len(), groups.as_ptr() as usize, 0])?;
        call(Step::Identity, libc::SYS_setresgid, [gid; 3])?;
        call(Step::Identity, libc::SYS_setresuid, [uid; 3])?;
    }
    call(Step::WorkingDir, libc::SYS_chdir, [launch.working_dir.as_ptr() as usize, 0, 0])?;
    Ok(())
}

/// The servers are protected from the out-of-memory killer; what they start is not. Failing to is harmless.
fn reset_oom_score() {
    let path = c"/proc/self/oom_score_adj";
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    if let Ok(fd) = call(Step::Prepare, libc::SYS_open, [path.as_ptr() as usize, flags, 0]) {
        let zero = c"0";
        let _ = call(Step::Prepare, libc::SYS_write, [fd as usize, zero.as_ptr() as usize, 1]);
        let _ = call(Step::Prepare, libc::SYS_close, [fd as usize, 0, 0]);
    }
}

fn execute(shared: &Shared<'_>) -> c_int {
    // SAFETY: sigset_t is plain old data, and sigemptyset initialises it; programs start with nothing blocked.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    let mut verdict = libc::ENOENT;
    for path in shared.launch.paths {
        let arguments =
            [path.as_ptr() as usize, shared.argv.as_ptr() as usize, shared.envp.as_ptr() as usize];
        match call(Step::Execute, libc::SYS_execve, arguments) {
            Err((_, libc::ENOENT | libc::ENOTDIR)) => {}
            Err((_, libc::EACCES)) => verdict = libc::EACCES,
            Err((_, errno)) => return errno,
            Ok(_) => {}
        }
    }
    verdict
}
