//! The one writer of a trail.
//!
//! Guarantees: an event that [`Trail::append`] returned is in the file, whole and linked, outside this process's
//! memory; after [`Trail::sync`] it survives a loss of power. An event that could not be written is an error and
//! leaves no trace, so that the caller can refuse what it would have recorded. After an error that leaves the file
//! uncertain every later call fails: the next open repairs.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::model::event::{Decision, Draft, Event};

use super::{
    chain::{self, Context, Head},
    error::{TrailError, failed, is_full},
    folder::{self, Bad, ReadError},
    repair::{self, Repair, Resume},
    segment::{Active, Gate, Room, WriteError},
};

/// When a segment is sealed, and how long an event may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events in one segment.
    pub events: u64,
    /// Bytes in one segment.
    pub bytes: u64,
    /// Age of one segment.
    pub age: Duration,
    /// From a write to its `fdatasync`; one serves every event written meanwhile.
    pub sync: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 1_000,
            bytes: 50 << 20,
            age: Duration::from_secs(300),
            sync: Duration::from_millis(100),
        }
    }
}

/// The writer of a folder's trail: its lock, its open segment, the chain's head.
pub struct Trail {
    dir: PathBuf,
    limits: Limits,
    head: Head,
    segment: Active,
    // Prefix of event ids: random per opening, so that no id comes twice even if a power cut takes events back.
    opening: String,
    unsynced: Option<Instant>,
    failed: bool,
    _lock: File,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Trail")
            .field("dir", &self.dir)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Trail {
    /// Opens the trail in `dir`, which is made when it is not there, and mends what a crash left.
    ///
    /// # Errors
    /// [`TrailError::Busy`] beside another writer; [`TrailError::Read`] with the first bad record when the end of
    /// the chain is broken ([`Self::recover`] goes on from there); others when the disk refuses.
    pub fn open(dir: &Path, limits: Limits, now: Instant) -> Result<(Self, Option<Repair>), TrailError> {
        let lock = prepare(dir)?;
        let resume = repair::resume(dir)?;
        let repair = resume.repair.clone();
        Ok((Self::start(dir, limits, now, lock, resume)?, repair))
    }

    /// Opens a trail whose chain is broken: the old segments move to a folder beside, and a new chain begins with
    /// the event `audit.recovered`, which holds the old head and what was wrong. A trail that is whole is opened
    /// as by [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`], a broken chain excepted.
    pub fn recover(
        dir: &Path,
        limits: Limits,
        time: String,
        context: &Context,
        now: Instant,
    ) -> Result<Self, TrailError> {
        let lock = prepare(dir)?;
        let resume = match repair::resume(dir) {
            Err(ReadError::Bad(bad)) => {
                begin_anew(dir, bad, time, context)?;
                repair::resume(dir)?
            }
            other => other?,
        };
        Self::start(dir, limits, now, lock, resume)
    }

    /// Writes the next event. It is in the file when this returns, and on the disk within [`Limits::sync`] if the
    /// caller heeds [`Self::sync_due`].
    ///
    /// # Errors
    /// [`TrailError::Full`] and [`TrailError::TooLong`] leave the trail as it was; after others it takes no more.
    pub fn append(&mut self, draft: Draft, context: &Context, now: Instant) -> Result<Event, TrailError> {
        self.write(draft, context, now, Room::Ordinary)
    }

    /// As [`Self::append`], for the event that says why the trail ends: it may use the room that others leave.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_last(
        &mut self,
        draft: Draft,
        context: &Context,
        now: Instant,
    ) -> Result<Event, TrailError> {
        self.write(draft, context, now, Room::LastWords)
    }

    /// Makes every event so far survive a loss of power.
    ///
    /// # Errors
    /// When the disk refuses. Which events it holds is unknown then, and the trail takes no more.
    pub fn sync(&mut self) -> Result<&Head, TrailError> {
        self.usable()?;
        if self.unsynced.is_some() {
            // After a failed sync the kernel forgets what was dirty: a second one would succeed and mean nothing.
            self.segment.sync().map_err(|source| self.fail(source))?;
            self.unsynced = None;
        }
        Ok(&self.head)
    }

    /// When [`Self::sync`] has to be called; `None` while everything is on the disk.
    #[must_use]
    pub fn sync_due(&self) -> Option<Instant> {
        self.unsynced.map(|since| since + self.limits.sync)
    }

    /// When [`Self::seal`] has to be called; `None` while the segment is empty.
    #[must_use]
    pub fn seal_due(&self) -> Option<Instant> {
        let full = self.segment.events >= self.limits.events || self.segment.bytes >= self.limits.bytes;
        let opened = self.segment.opened;
        (self.segment.events > 0).then(|| if full { opened } else { opened + self.limits.age })
    }

    /// Completes the segment, so that collectors take it, and begins the next.
    ///
    /// # Errors
    /// As [`Self::append`]; a full disk leaves the open segment as it was.
    pub fn seal(&mut self, now: Instant) -> Result<(), TrailError> {
        self.usable()?;
        if self.segment.events == 0 {
            return Ok(());
        }
        // A segment is on the disk before the next one exists: only the last can ever be torn.
        self.sync()?;
        // The next one before this one is sealed: with no room for it, this one keeps its room for last words.
        let gate = std::mem::take(&mut self.segment.gate);
        let next = match Active::create(&self.dir, self.segment.number + 1, now, gate) {
            Ok(next) => next,
            Err(source) => return Err(self.refused(source)),
        };
        let mut old = std::mem::replace(&mut self.segment, next);
        old.seal(&self.dir).map_err(|source| self.fail(source))
    }

    /// The last event's place and hash. Noted elsewhere, it shows later that nothing before it was changed.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Seals the last segment and gives the lock back. A trail that is dropped instead is mended by the next open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close(mut self) -> Result<Head, TrailError> {
        self.usable()?;
        self.segment.seal(&self.dir).map_err(|source| failed(&self.dir, source))?;
        Ok(self.head)
    }

    fn start(
        dir: &Path,
        limits: Limits,
        now: Instant,
        lock: File,
        resume: Resume,
    ) -> Result<Self, TrailError> {
        let io = |source| failed(dir, source);
        let opening = opening().map_err(io)?;
        let segment = Active::create(dir, resume.number + 1, now, Gate::default()).map_err(|source| {
            if is_full(&source) { TrailError::Full { dir: dir.to_owned(), source } } else { io(source) }
        })?;
        let (dir, head) = (dir.to_owned(), resume.head);
        Ok(Self { dir, limits, head, segment, opening, unsynced: None, failed: false, _lock: lock })
    }

    fn write(
        &mut self,
        draft: Draft,
        context: &Context,
        now: Instant,
        room: Room,
    ) -> Result<Event, TrailError> {
        self.usable()?;
        if self.seal_due().is_some_and(|due| due <= now) && room == Room::Ordinary {
            self.seal(now)?;
        }
        let id = format!("{}-{}", self.opening, self.head.seq + 1);
        let (event, line) = chain::link(&self.head, draft, context, id)?;
        if self.segment.events == 0 {
            self.segment.opened = now;
        }
        match self.segment.write(&line, room) {
            Ok(()) => {}
            Err(WriteError::Nothing(source)) => return Err(self.refused(source)),
            Err(WriteError::Half(source)) => return Err(self.fail(source)),
        }
        self.head = Head::after(&event);
        self.unsynced.get_or_insert(now);
        Ok(event)
    }

    fn usable(&self) -> Result<(), TrailError> {
        if self.failed { Err(TrailError::Failed(self.dir.clone())) } else { Ok(()) }
    }

    /// An error after which the file is as it was.
    fn refused(&mut self, source: io::Error) -> TrailError {
        if is_full(&source) { TrailError::Full { dir: self.dir.clone(), source } } else { self.fail(source) }
    }

    fn fail(&mut self, source: io::Error) -> TrailError {
        self.failed = true;
        failed(&self.dir, source)
    }

    #[cfg(test)]
    pub(super) fn gate(&mut self) -> &mut Gate {
        &mut self.segment.gate
    }
}

fn prepare(dir: &Path) -> Result<File, TrailError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let locked = made.and_then(|()| folder::lock(dir)).map_err(|source| failed(dir, source))?;
    locked.ok_or_else(|| TrailError::Busy(dir.to_owned()))
}

fn opening() -> io::Result<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Sets the broken chain aside and begins a new one with the event that says so.
fn begin_anew(dir: &Path, bad: Bad, time: String, context: &Context) -> Result<(), TrailError> {
    let report = super::verify::directory(dir, None)?;
    let bad = report.bad.unwrap_or(bad);
    let segments = folder::segments(dir).map_err(ReadError::io(dir))?;
    let number = segments.last().map_or(1, |segment| segment.number + 1);
    let name = bad.file.file_name().unwrap_or_default().to_string_lossy();
    let detail = json!({
        "old_head": report.head,
        "flaw": bad.flaw.to_string(),
        "aside": repair::aside_name(number),
    });
    let draft = Draft {
        time,
        action: "audit.recovered".to_owned(),
        resource: format!("{name}:{}", bad.line),
        decision: Decision::Unknown,
        rule: None,
        reason: "chain_broken".to_owned(),
        detail: detail.as_object().cloned().unwrap_or_default(),
    };
    let id = format!("{}-1", opening().map_err(|source| failed(dir, source))?);
    let (_, line) = chain::link(&Head::genesis(), draft, context, id)?;
    Ok(repair::begin_recovery(dir, number, &line)?)
}

#[cfg(test)]
#[path = "trail_tests.rs"]
mod tests;
