//! The file that is being written: its room, its single writes, its sealing.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::{fs::FallocateFlags, io::Errno};

use crate::store::file::{append_once, sync_folder};

use super::folder::{open_name, sealed_name};

/// Room is reserved in pieces of this size: one call for some hundreds of events.
const PIECE: u64 = 1 << 20;

/// Room that ordinary events leave free, so that the event which says why the trail ends still fits.
pub(super) const LAST_WORDS: u64 = 64 << 10;

/// An effect on the disk, in the order in which they happen. Tests make each of them fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Reserve,
    Write,
    Sync,
    Rename,
    SyncFolder,
}

/// Stands before every effect, and after a write, where a part may be in the file; tests put a fault in it.
#[derive(Default)]
pub(super) struct Gate {
    #[cfg(test)]
    pub(super) fault: Option<Box<dyn FnMut(Step) -> io::Result<()> + Send>>,
}

impl Gate {
    fn pass(&mut self, step: Step) -> io::Result<()> {
        #[cfg(test)]
        if let Some(fault) = &mut self.fault {
            return fault(step);
        }
        let _ = step;
        Ok(())
    }
}

/// Which events may use the last of the reserved room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Ordinary,
    LastWords,
}

/// The segment that is being written.
pub(super) struct Active {
    file: File,
    path: PathBuf,
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) opened: Instant,
    reserved: u64,
    // Some file systems cannot reserve; there the write itself is the test.
    can_reserve: bool,
    pub(super) gate: Gate,
}

impl Active {
    /// Creates segment `number` with room for its first events.
    pub(super) fn create(dir: &Path, number: u64, now: Instant, gate: Gate) -> io::Result<Self> {
        let path = dir.join(open_name(number));
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path)?;
        let mut active = Self {
            file,
            path,
            number,
            bytes: 0,
            events: 0,
            opened: now,
            reserved: 0,
            can_reserve: true,
            gate,
        };
        let made = active.reserve(LAST_WORDS).and_then(|()| active.sync_folder());
        if made.is_err() {
            // The number stays free for the next try; were this to fail too, repair removes an empty file.
            let _ = fs::remove_file(&active.path);
        }
        made.map(|()| active)
    }

    /// Writes one line, whole or not at all.
    pub(super) fn write(&mut self, line: &[u8], room: Room) -> Result<(), WriteError> {
        let keep = if room == Room::Ordinary { LAST_WORDS } else { 0 };
        self.reserve(self.bytes + line.len() as u64 + keep).map_err(WriteError::Nothing)?;
        let written = append_once(&mut self.file, line).and_then(|()| self.gate.pass(Step::Write));
        if let Err(error) = written {
            let undone = self.file.set_len(self.bytes);
            // Cutting the line off gave the room behind it back too.
            self.reserved = self.bytes;
            return Err(if undone.is_ok() { WriteError::Nothing(error) } else { WriteError::Half(error) });
        }
        self.bytes += line.len() as u64;
        self.events += 1;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.gate.pass(Step::Sync)?;
        self.file.sync_data()
    }

    /// Completes the segment; an empty one disappears.
    pub(super) fn seal(&mut self, dir: &Path) -> io::Result<()> {
        if self.events == 0 {
            return fs::remove_file(&self.path);
        }
        // Gives back the room behind the last event.
        self.file.set_len(self.bytes)?;
        self.sync()?;
        self.gate.pass(Step::Rename)?;
        fs::rename(&self.path, dir.join(sealed_name(self.number)))?;
        self.sync_folder()
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.gate.pass(Step::SyncFolder)?;
        sync_folder(self.path.parent().expect("a segment lies in its folder"))
    }

    fn reserve(&mut self, end: u64) -> io::Result<()> {
        if !self.can_reserve || end <= self.reserved {
            return Ok(());
        }
        self.gate.pass(Step::Reserve)?;
        let length = (end - self.reserved).next_multiple_of(PIECE);
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.reserved, length) {
            Ok(()) => self.reserved += length,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.can_reserve = false,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Why a line was not written.
pub(super) enum WriteError {
    /// The file is as it was.
    Nothing(io::Error),
    /// The file may end with a part of the line.
    Half(io::Error),
}
