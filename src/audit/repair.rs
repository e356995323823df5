//! What the writer does with what was left in its folder, before its first event.
//!
//! A crash leaves at most: a segment not yet sealed, half a line at its end, an empty segment, or a recovery begun
//! and not ended. All of these are mended. Anything else is a broken chain: it is never continued, only set aside
//! by [`begin_recovery`], on somebody's word.

use std::{
    fs::{self, OpenOptions},
    io::{BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::store::file::sync_folder;

use super::{
    chain::{self, Flaw, Head},
    folder::{self, Bad, ReadError, Segment, sealed_name},
    lines::Lines,
    verify::Walk,
};

/// What the last writer left, and how it was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Where half a line was put.
    pub torn: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
}

/// Where the chain goes on.
pub(super) struct Resume {
    pub(super) head: Head,
    /// Highest number ever used here.
    pub(super) number: u64,
    pub(super) repair: Option<Repair>,
}

/// Mends what a crash left and finds the head. The caller holds the lock.
pub(super) fn resume(dir: &Path) -> Result<Resume, ReadError> {
    finish_recovery(dir)?;
    let segments = folder::segments(dir).map_err(ReadError::io(dir))?;
    let number = segments.last().map_or(0, |segment| segment.number);
    // Only what may be unfinished is read, and one sealed segment before it, for its head: `verify` reads all.
    let unsealed = segments.iter().position(|segment| !segment.sealed).unwrap_or(segments.len());
    let first = unsealed.saturating_sub(1);
    let mut head = match segments.get(first) {
        Some(segment) if first > 0 => claimed_start(segment)?,
        _ => Head::genesis(),
    };
    let mut repair = None;
    for (index, segment) in segments.iter().enumerate().skip(first) {
        let last = index + 1 == segments.len();
        head = one(dir, segment, head, last, &mut repair)?;
    }
    Ok(Resume { head, number, repair })
}

/// Reads one segment to its end, mends it, seals it.
fn one(
    dir: &Path,
    segment: &Segment,
    head: Head,
    last: bool,
    repair: &mut Option<Repair>,
) -> Result<Head, ReadError> {
    let io = || ReadError::io(&segment.path);
    let mut walk = Walk::new(head, None);
    let mut lines = Lines::new(BufReader::new(segment.open()?));
    while let Some(line) = lines.next().map_err(io())? {
        let Err(flaw) = line.and_then(|line| walk.step(line)) else { continue };
        if flaw != Flaw::Torn || segment.sealed || !last {
            let seq = walk.head().seq.saturating_add(1);
            return Err(Bad { file: segment.path.clone(), line: lines.number, seq, flaw }.into());
        }
        *repair = Some(set_torn_aside(dir, segment, lines.start, lines.bytes())?);
        break;
    }
    match (segment.sealed, walk.events()) {
        (true, 0) => {
            let seq = walk.head().seq.saturating_add(1);
            return Err(Bad { file: segment.path.clone(), line: 1, seq, flaw: Flaw::Empty }.into());
        }
        (true, _) => {}
        (false, 0) => fs::remove_file(&segment.path).map_err(io())?,
        (false, _) => seal(dir, segment).map_err(io())?,
    }
    Ok(walk.head().clone())
}

fn seal(dir: &Path, segment: &Segment) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&segment.path)?;
    // Gives back the room that the last writer had reserved.
    file.set_len(file.metadata()?.len())?;
    file.sync_all()?;
    fs::rename(&segment.path, dir.join(sealed_name(segment.number)))?;
    sync_folder(dir)
}

/// Copies half a line away, durably, before it is cut off: a crash in between leaves it twice, never not at all.
fn set_torn_aside(dir: &Path, segment: &Segment, start: u64, bytes: &[u8]) -> Result<Repair, ReadError> {
    let torn = dir.join(format!("{:08}.torn", segment.number));
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let copied = options.open(&torn).and_then(|mut file| {
        file.write_all(bytes)?;
        file.write_all(b"\n")?;
        file.sync_all()
    });
    copied.and_then(|()| sync_folder(dir)).map_err(ReadError::io(&torn))?;
    let cut =
        OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&segment.path).and_then(|file| {
            file.set_len(start)?;
            file.sync_all()
        });
    cut.map_err(ReadError::io(&segment.path))?;
    Ok(Repair { torn, bytes: bytes.len() as u64 })
}

/// The head that a segment's first record says it was linked to.
fn claimed_start(segment: &Segment) -> Result<Head, ReadError> {
    let mut lines = Lines::new(BufReader::new(segment.open()?));
    let first = match lines.next().map_err(ReadError::io(&segment.path))? {
        None => Err(Flaw::Empty),
        Some(line) => line.and_then(chain::read),
    };
    match first {
        Ok(event) => Ok(Head { seq: event.seq.saturating_sub(1), hash: event.prev }),
        Err(flaw) => Err(Bad { file: segment.path.clone(), line: 1, seq: 0, flaw }.into()),
    }
}

fn recovered_name(number: u64) -> String {
    format!("{number:08}.recovered")
}

/// Sets every segment aside and lets a new chain begin with `line`, the first event of that chain. Durable once
/// the file `*.recovered` stands: a crash later on is completed by the next [`resume`].
pub(super) fn begin_recovery(dir: &Path, number: u64, line: &[u8]) -> Result<(), ReadError> {
    let path = dir.join(recovered_name(number));
    let draft = dir.join("recovering");
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&draft)?;
        file.write_all(line)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        sync_folder(dir)
    })();
    written.map_err(ReadError::io(&path))?;
    finish_recovery(dir)
}

/// Name of the folder that keeps the chain which ended before segment `number`.
pub(super) fn aside_name(number: u64) -> String {
    format!("aside-{number:08}")
}

fn finish_recovery(dir: &Path) -> Result<(), ReadError> {
    let at = || ReadError::io(dir);
    let mut pending = None;
    for entry in fs::read_dir(dir).map_err(at())? {
        let name = entry.map_err(at())?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".recovered"));
        pending = pending.max(digits.and_then(folder::number));
    }
    let Some(number) = pending else { return Ok(()) };
    let aside = dir.join(aside_name(number));
    let moved = (|| {
        match fs::DirBuilder::new().mode(0o700).create(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for segment in folder::segments(dir)?.iter().filter(|segment| segment.number < number) {
            fs::rename(&segment.path, aside.join(segment.path.file_name().expect("a segment has a name")))?;
        }
        sync_folder(&aside)?;
        fs::rename(dir.join(recovered_name(number)), dir.join(sealed_name(number)))?;
        sync_folder(dir)
    })();
    moved.map_err(ReadError::io(&aside))
}
