//! Starting processes: the one place that does. The environment is empty unless given, descriptors are exactly
//! those listed, and no shell is involved.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A process to start.
#[derive(Debug)]
pub struct Start {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    descriptors: Vec<(OwnedFd, RawFd)>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    new_session: bool,
    folder: Option<PathBuf>,
    limits: Vec<(Limit, u64)>,
}

/// What a process may use at most (setrlimit(2)); its children have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of a file that it writes.
    FileSize,
    /// Bytes of its address space.
    Memory,
    /// Bytes of a core file.
    Core,
}

impl Limit {
    fn resource(self) -> rustix::process::Resource {
        match self {
            Self::FileSize => rustix::process::Resource::Fsize,
            Self::Memory => rustix::process::Resource::As,
            Self::Core => rustix::process::Resource::Core,
        }
    }
}

impl Start {
    /// `program` with no arguments, an empty environment, and `/dev/null` as its three standard streams.
    #[must_use]
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            descriptors: Vec::new(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: Stdio::null(),
            new_session: false,
            folder: None,
            limits: Vec::new(),
        }
    }

    /// This program, whatever lies at its path by now.
    #[must_use]
    pub fn this_program() -> Self {
        Self::new("/proc/self/exe")
    }

    /// Adds an argument. Never a secret: everybody on the host can read it.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives the process `descriptor` as its number `number` (3 or above).
    #[must_use]
    pub fn descriptor(mut self, descriptor: OwnedFd, number: RawFd) -> Self {
        self.descriptors.push((descriptor, number));
        self
    }

    /// Standard input.
    #[must_use]
    pub fn stdin(mut self, stream: impl Into<Stdio>) -> Self {
        self.stdin = stream.into();
        self
    }

    /// Standard output.
    #[must_use]
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.stdout = stream.into();
        self
    }

    /// Standard error.
    #[must_use]
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.stderr = stream.into();
        self
    }

    /// Starts in this folder instead of ours.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// At most so much of something.
    #[must_use]
    pub fn limit(mut self, limit: Limit, most: u64) -> Self {
        self.limits.push((limit, most));
        self
    }

    /// A session of its own, without a terminal: it survives the one that started it.
    #[must_use]
    pub fn new_session(mut self) -> Self {
        self.new_session = true;
        self
    }

    /// Starts it. Only the listed descriptors and the three standard streams are open in the process.
    ///
    /// # Errors
    /// When the program cannot be executed or the kernel has no process left.
    pub fn spawn(self) -> io::Result<Child> {
        let highest = self.descriptors.iter().map(|(_, number)| *number).max().unwrap_or(2);
        // Out of the way of every target number first, so that no dup2 below overwrites a source.
        let mut sources = Vec::with_capacity(self.descriptors.len());
        for (descriptor, number) in &self.descriptors {
            sources.push((duplicate_above(descriptor, highest)?, *number));
        }
        let moves: Vec<(RawFd, RawFd)> =
            sources.iter().map(|(source, to)| (source.as_raw_fd(), *to)).collect();
        #[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment);
        command.stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let new_session = self.new_session;
        let limits = self.limits;
        // SAFETY: between fork and exec the closure makes only async-signal-safe system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                if new_session && libc::setsid() < 0 {
                    return Err(io::Error::last_os_error());
                }
                for (limit, most) in &limits {
                    let both = rustix::process::Rlimit { current: Some(*most), maximum: Some(*most) };
                    rustix::process::setrlimit(limit.resource(), both)?;
                }
                for (source, number) in &moves {
                    if libc::dup2(*source, *number) < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                // std's own pipe that reports a failed exec is among these: mark, do not close.
                let first = (highest + 1) as libc::c_uint;
                libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
                Ok(())
            });
        }
        let child = command.spawn();
        drop(sources);
        child
    }
}

fn duplicate_above(descriptor: &OwnedFd, highest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC gives a new descriptor that nothing else owns.
    let number = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, highest.max(63) + 1) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Replaces this process by the program behind `program`, which `execveat` takes by descriptor, so that a seccomp
/// filter can allow this one call and no other. Only returns when that fails.
///
/// # Errors
/// Always: why the program could not be executed.
pub fn execute(program: BorrowedFd<'_>, arguments: &[OsString], environment: &[OsString]) -> io::Error {
    use std::{ffi::CString, os::unix::ffi::OsStrExt};
    let strings = |list: &[OsString]| -> Result<Vec<CString>, std::ffi::NulError> {
        list.iter().map(|item| CString::new(item.as_bytes())).collect()
    };
    let (Ok(arguments), Ok(environment)) = (strings(arguments), strings(environment)) else {
        return io::Error::new(io::ErrorKind::InvalidInput, "an argument holds a NUL byte");
    };
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&arguments), pointers(&environment));
    // SAFETY: both arrays end with a null pointer and outlive the call, as do the strings they point to.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}

/// Asks the kernel to kill this process when the thread that started it ends. Only sound as a second line behind a
/// lifeline: it counts the thread, not the process.
///
/// # Errors
/// When the kernel refuses.
pub fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn output(start: Start) -> String {
        let mut child = start.stdout(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text
    }

    #[test]
    fn the_environment_is_what_was_given() {
        let text = output(Start::new("/usr/bin/env").variable("A", "b"));
        assert_eq!(text, "A=b\n");
    }

    #[test]
    fn limits_hold_in_the_process() {
        let limited = Start::new("/bin/sh").limit(Limit::FileSize, 4096).limit(Limit::Core, 0);
        assert_eq!(output(limited.argument("-c").argument("ulimit -f; ulimit -c")), "8\n0\n");
    }

    #[test]
    fn descriptors_are_exactly_those_listed() {
        let one = crate::sys::memory_file::sealed("one", b"1").unwrap();
        let two = crate::sys::memory_file::sealed("two", b"2").unwrap();
        let _stray = std::fs::File::open("/dev/null").unwrap();
        let script = "cat /dev/fd/5 /dev/fd/3; for n in /proc/$$/fd/*; do echo ${n##*/}; done";
        let start =
            Start::new("/bin/sh").argument("-c").argument(script).descriptor(one, 3).descriptor(two, 5);
        // 4 is the directory that the shell itself reads.
        assert_eq!(output(start), "210\n1\n2\n3\n4\n5\n");
    }
}
