//! Files that the host has written before anything of the agent runs, and a note on the system disk.
//!
//! ```text
//! stream ─▶ request, bytes ─▶ memfd ─▶ helper (this program, as the agent or as root) ─▶ reply
//! ```
//!
//! The note says which set-up steps this system disk has seen. It lies on that disk so that a new disk knows nothing; the
//! agent's root may change it, and changes what happens to its own sandbox only.

mod merge;
mod write;

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::MemfdFlags,
    pipe::{PipeFlags, pipe_with},
    process::{WaitId, WaitIdOptions, waitid},
};
use tokio::time::timeout;

use self::write::Job;
pub use self::write::serve;
use crate::{
    boot::follow,
    exec::{Account, account},
    handover::Handover,
    stream::{Listener, Stream},
    sys::{
        launch::{Launch, launch},
        signals::signal_group,
    },
    wire::{
        FileReply, FileRequest, VERSION,
        files::{CONTENT_MAX, FileSpec, NOTE_MAX},
        frame::{self, GUEST_FRAME_MAX, HOST_FRAME_MAX},
    },
};

/// Time for a whole request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for one file to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest word of the helper about its failure, in bytes.
const WORDS_MAX: u64 = 2048;
/// Where the note lies: on the system disk, because it is below no mount.
const NOTE: &str = "/etc/cofferdam/setup";

/// Serves the host for ever, one request after the other: they come in an order that matters.
///
/// # Errors
/// When the listener fails.
pub async fn accept_for_ever(listener: &Listener, handover: &Handover) -> io::Result<()> {
    loop {
        let stream = listener.accept().await?;
        // A host that went away has nobody to be told.
        let _ = answer(&stream, handover).await;
    }
}

async fn answer(stream: &Stream, handover: &Handover) -> io::Result<()> {
    let reply = match timeout(REQUEST_TIMEOUT, request(stream)).await.map_err(io::Error::other)?? {
        (FileRequest::Write(spec), content) => match write(&spec, &content, handover).await {
            Ok(()) => FileReply::Done,
            Err(error) => FileReply::Failed { message: error.to_string() },
        },
        (FileRequest::ReadNote { .. }, _) => FileReply::Note { text: read_note(Path::new(NOTE)) },
        (FileRequest::WriteNote { text, .. }, _) => match write_note(Path::new(NOTE), &text) {
            Ok(()) => FileReply::Done,
            Err(error) => FileReply::Failed { message: error.to_string() },
        },
    };
    stream.write_frame(&reply, GUEST_FRAME_MAX).await
}

async fn request(stream: &Stream) -> io::Result<(FileRequest, Vec<u8>)> {
    let request: FileRequest = stream.read_frame(HOST_FRAME_MAX).await?;
    let (version, length) = match &request {
        FileRequest::Write(spec) => (spec.version, spec.length as usize),
        FileRequest::ReadNote { version } | FileRequest::WriteNote { version, .. } => (*version, 0),
    };
    if version != VERSION || length > CONTENT_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await?;
    Ok((request, content))
}

/// Has the helper write one file.
async fn write(spec: &FileSpec, content: &[u8], handover: &Handover) -> io::Result<()> {
    let account = account(if spec.agent { "agent" } else { "root" }).map_err(io::Error::other)?;
    let path = absolute(&spec.path, &account, handover);
    let job = Job { path, mode: spec.mode, merge_json: spec.merge_json };
    let input = memory_file(&frame::encode(&job, HOST_FRAME_MAX)?, content)?;
    let (words, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let child = launch(&Launch {
        paths: &[c"/proc/self/exe".into()],
        arguments: &[c"cofferdam-guest".into(), CString::from(c"file")],
        environment: &[],
        stdio: [input.as_fd(), rustix::stdio::stdout(), theirs.as_fd()],
        working_dir: c"/",
        // Run by an ordinary user (a test), the server can start its own user's programs only.
        identity: rustix::process::geteuid().is_root().then_some(&account.identity),
        terminal: false,
        cgroup: None,
    });
    let child = child.map_err(|error| error.source)?;
    drop(theirs);
    let ended = Stream::only_awaited(child.pidfd)?;
    let in_time = timeout(WRITE_TIMEOUT, ended.readable()).await.is_ok();
    if !in_time {
        signal_group(child.pid, libc::SIGKILL);
        ended.readable().await?;
    }
    let status = waitid(WaitId::PidFd(ended.as_fd()), WaitIdOptions::EXITED)?;
    if !in_time {
        return Err(io::Error::other(format!("not written within {} s", WRITE_TIMEOUT.as_secs())));
    }
    if status.is_some_and(|status| status.exit_status() == Some(0)) {
        return Ok(());
    }
    let mut said = Vec::new();
    // The helper has ended and was the only writer.
    File::from(words).take(WORDS_MAX).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    Err(io::Error::other(said.trim().trim_start_matches("cofferdam-guest: file: ").to_owned()))
}

/// Where the guest has it: below the agent's home, or inside a mount that moved.
fn absolute(path: &str, account: &Account, handover: &Handover) -> String {
    match path.strip_prefix("~/") {
        Some(rest) => format!("{}/{rest}", account.home.trim_end_matches('/')),
        None => follow(Path::new(path), &handover.moves).to_string_lossy().into_owned(),
    }
}

fn memory_file(head: &[u8], content: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("file", MemfdFlags::CLOEXEC)?);
    file.write_all(head)?;
    file.write_all(content)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}

/// A note that cannot be read is none: the steps run again, which they must bear anyway after a power cut.
fn read_note(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(NOTE_MAX as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

fn write_note(path: &Path, text: &str) -> io::Result<()> {
    if text.len() > NOTE_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_a_new_disk_has_none() {
        let folder = std::env::temp_dir().join(format!("cofferdam-note-{}", std::process::id()));
        let path = folder.join("setup");
        assert_eq!(read_note(&path), None);
        write_note(&path, "[1]").unwrap();
        write_note(&path, "[1,2]").unwrap();
        assert_eq!(read_note(&path).as_deref(), Some("[1,2]"));
        assert!(write_note(&path, &"x".repeat(NOTE_MAX + 1)).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn requests_are_bounded_and_of_this_version() {
        for (version, length, right) in
            [(VERSION, 3, true), (VERSION + 1, 3, false), (VERSION, CONTENT_MAX as u32 + 1, false)]
        {
            let (host, guest) = std::os::unix::net::UnixStream::pair().unwrap();
            let (host, guest) = (Stream::new(host.into()).unwrap(), Stream::new(guest.into()).unwrap());
            let path = "~/.npmrc".to_owned();
            let spec = FileSpec { version, path, agent: true, mode: None, merge_json: false, length };
            host.write_frame(&FileRequest::Write(spec), HOST_FRAME_MAX).await.unwrap();
            host.write_all(b"abc").await.unwrap();
            drop(host);
            assert_eq!(request(&guest).await.is_ok(), right, "{version} {length}");
        }
    }
}
