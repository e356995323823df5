//! What PID 1 hands to its children, and how they tell it that they listen.
//!
//! Each child finds the [`Handover`] as JSON on its standard input (a memfd) and has a pipe to PID 1 as its
//! standard output. `net` and `exec` write [`READY`] there once they listen, `control` writes [`POWER_OFF`] when
//! the host asks for the end. So nothing of this lies in a file system that the agent's root could edit.

use std::{collections::BTreeMap, fs::File, io, os::fd::OwnedFd, os::unix::fs::FileExt, path::PathBuf};

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

/// Byte from `net` and `exec` to PID 1: the service listens.
pub const READY: u8 = b'R';
/// Byte from `control` to PID 1: the host wants the machine to end.
pub const POWER_OFF: u8 = b'P';

/// Largest handover, in bytes: the boot environment and the notes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What boot has found out and the children need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Environment of what is started for the agent.
    pub env: BTreeMap<String, String>,
    /// The agent's working directory in the guest, where it really is.
    pub working_dir: Option<String>,
    /// Mounts that are not where the host has them: from, to.
    pub moves: Vec<(PathBuf, PathBuf)>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// `cgroup.procs` of the agent's cgroup, where there is one.
    pub agent_procs: Option<String>,
}

impl Handover {
    /// The handover as a file to give to a child.
    ///
    /// # Errors
    /// When the kernel is out of memory.
    pub fn to_file(&self) -> io::Result<OwnedFd> {
        let fd = rustix::fs::memfd_create("handover", MemfdFlags::CLOEXEC)?;
        let file = File::from(fd);
        file.write_all_at(&serde_json::to_vec(self).map_err(io::Error::other)?, 0)?;
        Ok(file.into())
    }

    /// Reads the handover from standard input, whatever the file's offset is.
    ///
    /// # Errors
    /// When standard input is not a handover.
    pub fn from_stdin() -> io::Result<Self> {
        let file = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
        Self::from_file(&file)
    }

    fn from_file(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if length > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "handover too long"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0)?;
        serde_json::from_slice(&bytes).map_err(io::Error::from)
    }
}

/// Tells PID 1 something through standard output. Nobody there (run by hand) is no error.
pub fn tell_init(byte: u8) {
    let _ = rustix::io::write(rustix::stdio::stdout(), &[byte]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_reads_the_same_handover() {
        let handover = Handover { notes: vec!["moved".into()], ..Handover::default() };
        let file = File::from(handover.to_file().unwrap());
        assert_eq!(Handover::from_file(&file).unwrap(), handover);
        assert_eq!(Handover::from_file(&file).unwrap(), handover);
    }
}
