//! Our own standard streams, on threads: a read of them may block for as long as it likes, also while the session
//! ends. A thread that still reads then is left behind; the process is about to exit.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{mpsc, oneshot};

use crate::wire::exec::PACKET_MAX;

pub(super) const SIGHUP: u8 = 1;
pub(super) const SIGINT: u8 = 2;
pub(super) const SIGTERM: u8 = 15;

/// One read's worth of standard input, at most [`PACKET_MAX`] bytes.
pub(super) type Chunk = Vec<u8>;

/// Where output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    Stdout,
    Stderr,
}

/// The queue of a session's output, and how its writing ended.
pub(super) type Written = (mpsc::Sender<(Sink, Vec<u8>)>, oneshot::Receiver<io::Result<()>>);

/// Packets that wait for a slow reader of our output, each at most [`PACKET_MAX`] bytes.
const OUTPUT_QUEUE: usize = 8;

/// Our standard input.
pub struct Input(File);

impl Input {
    /// The process's own, by a descriptor of its own.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn standard() -> io::Result<Self> {
        Ok(Self(File::from(rustix::stdio::stdin().try_clone_to_owned()?)))
    }

    /// Any file.
    #[must_use]
    pub const fn from_file(file: File) -> Self {
        Self(file)
    }

    /// Chunks of it. One is read ahead and no more, so that what the command does not want is left to others.
    pub(super) fn spawn(self) -> mpsc::Receiver<Chunk> {
        let (sender, receiver) = mpsc::channel(1);
        std::thread::spawn(move || {
            // An unreadable input ends like an empty one; the command decides what that means.
            while let Ok(Some(chunk)) = read(&self.0) {
                if sender.blocking_send(chunk).is_err() {
                    break;
                }
            }
        });
        receiver
    }
}

fn read(mut file: &File) -> io::Result<Option<Chunk>> {
    let mut chunk = vec![0; PACKET_MAX];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(length) => {
                chunk.truncate(length);
                return Ok(Some(chunk));
            }
            Err(error) => retry(&error, file.as_fd(), PollFlags::IN)?,
        }
    }
}

/// Our standard output and error.
pub struct Output {
    stdout: File,
    stderr: File,
    counts: Arc<Counts>,
}

/// Bytes that a command wrote to its standard output and error.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; 2]);

impl Counts {
    /// Both, as they stand.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        (self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed))
    }
}

impl Output {
    /// The process's own, unbuffered.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn standard() -> io::Result<Self> {
        let stdout = rustix::stdio::stdout().try_clone_to_owned()?;
        let stderr = rustix::stdio::stderr().try_clone_to_owned()?;
        Ok(Self { stdout: stdout.into(), stderr: stderr.into(), counts: Arc::default() })
    }

    /// Everything on the process's standard error, counted: its standard output has data of another kind.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn aside(counts: Arc<Counts>) -> io::Result<Self> {
        let stderr = || rustix::stdio::stderr().try_clone_to_owned().map(File::from);
        Ok(Self { stdout: stderr()?, stderr: stderr()?, counts })
    }

    /// Any two files.
    #[must_use]
    pub fn from_files(stdout: File, stderr: File) -> Self {
        Self { stdout, stderr, counts: Arc::default() }
    }

    /// A queue to write to, and the result once the queue has been closed or a write has failed.
    pub(super) fn spawn(self) -> Written {
        let (sender, mut receiver) = mpsc::channel::<(Sink, Vec<u8>)>(OUTPUT_QUEUE);
        let (done, written) = oneshot::channel();
        std::thread::spawn(move || {
            let mut result = Ok(());
            while let Some((sink, data)) = receiver.blocking_recv() {
                let (file, place) = match sink {
                    Sink::Stdout => (&self.stdout, 0),
                    Sink::Stderr => (&self.stderr, 1),
                };
                self.counts.0[place].fetch_add(data.len() as u64, Ordering::Relaxed);
                result = write(file, &data);
                if result.is_err() {
                    break;
                }
            }
            // The result goes first: whoever finds the queue closed asks for it.
            let _ = done.send(result);
        });
        (sender, written)
    }
}

fn write(mut file: &File, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match file.write(data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => data = &data[length..],
            Err(error) => retry(&error, file.as_fd(), PollFlags::OUT)?,
        }
    }
    Ok(())
}

/// Another program may have made the shared stream non-blocking: then wait for it here.
fn retry(error: &io::Error, stream: BorrowedFd<'_>, for_what: PollFlags) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock => match poll(&mut [PollFd::new(&stream, for_what)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        },
        _ => Err(io::Error::new(error.kind(), error.to_string())),
    }
}
