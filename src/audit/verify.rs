//! Holds a whole trail against its chain, and names the first bad record. Takes no lock and changes nothing.
//!
//! What this proves: nobody changed, removed, moved or added a record between the first one and the head, except
//! somebody who computed the chain anew from there. A head noted elsewhere, given as `known`, proves that too, up
//! to that head, and shows a cut end.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::{
    chain::{self, Flaw, Head},
    folder::{self, Bad, ReadError, Segment},
    lines::Lines,
};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Files read.
    pub segments: u64,
    /// Good records, from the first.
    pub events: u64,
    /// Where the good part ends.
    pub head: Head,
    /// The first bad record.
    pub bad: Option<Bad>,
    /// A live writer had written half a line when its file was read; that is no flaw.
    pub unfinished: bool,
}

/// A walk along a chain, over one file after another.
#[derive(Debug)]
pub struct Walk<'a> {
    head: Head,
    events: u64,
    known: Option<&'a Head>,
}

impl<'a> Walk<'a> {
    /// Begins after `head`; `known` is a head that the chain has to contain.
    #[must_use]
    pub fn new(head: Head, known: Option<&'a Head>) -> Self {
        Self { head, events: 0, known }
    }

    /// Where the good part ends.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Good records so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Walks along one file; line and flaw of the first bad record, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn file(&mut self, reader: impl BufRead) -> io::Result<Option<(u64, Flaw)>> {
        let mut lines = Lines::new(reader);
        while let Some(line) = lines.next()? {
            if let Err(flaw) = line.and_then(|line| self.step(line)) {
                return Ok(Some((lines.number, flaw)));
            }
        }
        Ok(None)
    }

    /// Takes one line as the next record.
    ///
    /// # Errors
    /// What is wrong with it; the walk stands where it stood.
    pub fn step(&mut self, line: &[u8]) -> Result<(), Flaw> {
        let event = chain::read(line)?;
        chain::follows(&self.head, &event)?;
        match self.known {
            Some(known) if known.seq == event.seq && known.hash != event.hash => {
                return Err(Flaw::Rewritten { seq: event.seq });
            }
            _ => {}
        }
        self.head = Head::after(&event);
        self.events += 1;
        Ok(())
    }

    fn end(&self) -> Option<Flaw> {
        let known = self.known.filter(|known| known.seq > self.head.seq)?;
        Some(Flaw::Cut { expected: known.seq, found: self.head.seq })
    }
}

/// Verifies the trail in `dir`, from its first event. `known` is a head noted at an earlier time, if there is one.
///
/// # Errors
/// When the folder or a file cannot be read. A bad record is not an error but [`Report::bad`].
pub fn directory(dir: &Path, known: Option<&Head>) -> Result<Report, ReadError> {
    let segments = folder::segments(dir).map_err(ReadError::io(dir))?;
    let mut walk = Walk::new(Head::genesis(), known);
    let mut report = Report { segments: 0, events: 0, head: Head::genesis(), bad: None, unfinished: false };
    let mut line = 0;
    for (index, segment) in segments.iter().enumerate() {
        report.segments += 1;
        let before = walk.events();
        let flaw = segment_flaw(&mut walk, segment)?;
        line = walk.events() - before;
        if let Some((line, flaw)) = flaw {
            let last = index + 1 == segments.len();
            report.unfinished = flaw == Flaw::Torn && last && !segment.sealed && folder::has_writer(dir);
            if !report.unfinished {
                report.bad = Some(bad(&walk, segment.path.clone(), line, flaw));
            }
            break;
        }
    }
    if let (None, Some(flaw)) = (&report.bad, walk.end()) {
        let file = segments.last().map_or_else(|| dir.to_owned(), |segment| segment.path.clone());
        report.bad = Some(bad(&walk, file, line + 1, flaw));
    }
    report.events = walk.events();
    report.head = walk.head;
    Ok(report)
}

fn segment_flaw(walk: &mut Walk<'_>, segment: &Segment) -> Result<Option<(u64, Flaw)>, ReadError> {
    let file: File = segment.open()?;
    let before = walk.events();
    let flaw = walk.file(BufReader::new(file)).map_err(ReadError::io(&segment.path))?;
    let empty = segment.sealed && walk.events() == before;
    Ok(flaw.or_else(|| empty.then_some((1, Flaw::Empty))))
}

fn bad(walk: &Walk<'_>, file: PathBuf, line: u64, flaw: Flaw) -> Bad {
    Bad { file, line, seq: walk.head.seq.saturating_add(1), flaw }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
