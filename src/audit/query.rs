//! Events of a trail that match a filter, oldest or newest first.

use std::{
    collections::VecDeque,
    io::BufReader,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::model::event::{Decision, Event};

use super::{
    chain,
    folder::{self, Bad, ReadError, Segment},
    lines::Lines,
};

/// Which events; an empty filter takes all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// An action (`net.connect`), or all below one (`net.*`).
    pub action: Option<String>,
    /// The outcome.
    pub decision: Option<Decision>,
    /// Not before. An event whose time cannot be read passes: a filter must not hide it.
    pub since: Option<Timestamp>,
    /// Part of the resource.
    pub resource: Option<String>,
}

impl Filter {
    /// Whether `event` passes.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let action = self.action.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(prefix) => event.action.starts_with(prefix),
            None => event.action == wanted,
        });
        let since = self.since.is_none_or(|since| !event.time.parse().is_ok_and(|at: Timestamp| at < since));
        action
            && since
            && self.decision.is_none_or(|decision| decision == event.decision)
            && self.resource.as_ref().is_none_or(|part| event.resource.contains(part.as_str()))
    }
}

/// The events of the trail in `dir` that pass, oldest first. A line that is not what was written is an item of its
/// own, after which the next file follows.
///
/// # Errors
/// When the folder cannot be read.
pub fn oldest_first(
    dir: &Path,
    filter: Filter,
) -> Result<impl Iterator<Item = Result<Event, ReadError>> + use<>, ReadError> {
    let segments = folder::segments(dir).map_err(ReadError::io(dir))?;
    Ok(segments.into_iter().flat_map(move |segment| Events::open(&segment, filter.clone())))
}

/// As [`oldest_first`], newest first. Holds the passing events of one file at a time.
///
/// # Errors
/// When the folder cannot be read.
pub fn newest_first(
    dir: &Path,
    filter: Filter,
) -> Result<impl Iterator<Item = Result<Event, ReadError>> + use<>, ReadError> {
    let segments = folder::segments(dir).map_err(ReadError::io(dir))?;
    Ok(segments.into_iter().rev().flat_map(move |segment| {
        Events::open(&segment, filter.clone()).collect::<VecDeque<_>>().into_iter().rev()
    }))
}

/// The passing events of one file.
enum Events {
    Reading { lines: Lines<BufReader<std::fs::File>>, path: PathBuf, live: bool, seq: u64, filter: Filter },
    Failed(ReadError),
    Ended,
}

impl Events {
    fn open(segment: &Segment, filter: Filter) -> Self {
        match segment.open() {
            Ok(file) => {
                let (path, live) = (segment.path.clone(), !segment.sealed);
                Self::Reading { lines: Lines::new(BufReader::new(file)), path, live, seq: 0, filter }
            }
            Err(error) => Self::Failed(error),
        }
    }

    /// The next passing event; an error or `None` is the last answer.
    fn read(&mut self) -> Result<Option<Event>, ReadError> {
        let (lines, path, live, seq, filter) = match self {
            Self::Ended => return Ok(None),
            Self::Reading { lines, path, live, seq, filter } => (lines, path, *live, seq, filter),
            Self::Failed(_) => match std::mem::replace(self, Self::Ended) {
                Self::Failed(error) => return Err(error),
                _ => return Ok(None),
            },
        };
        while let Some(line) = lines.next().map_err(ReadError::io(path))? {
            let event = match line.and_then(chain::read) {
                // The writer may be in the middle of it; whether it is, `verify` says.
                Err(chain::Flaw::Torn) if live => return Ok(None),
                Err(flaw) => {
                    let (file, line) = (path.clone(), lines.number);
                    return Err(Bad { file, line, seq: seq.saturating_add(1), flaw }.into());
                }
                Ok(event) => event,
            };
            *seq = event.seq;
            if filter.matches(&event) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

impl Iterator for Events {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose();
        if !matches!(read, Some(Ok(_))) {
            *self = Self::Ended;
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::fixture::{Fixture, draft};

    #[test]
    fn events_come_in_either_order_across_files() {
        let fixture = Fixture::new();
        let mut trail = fixture.open_with(2);
        fixture.fill(&mut trail, 5);
        let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
        let all = oldest_first(fixture.path(), Filter::default()).unwrap();
        assert_eq!(seqs(all.collect::<Result<_, _>>().unwrap()), [1, 2, 3, 4, 5]);
        let all = newest_first(fixture.path(), Filter::default()).unwrap();
        assert_eq!(seqs(all.collect::<Result<_, _>>().unwrap()), [5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_filter_is_the_and_of_its_parts() {
        let fixture = Fixture::new();
        let mut trail = fixture.open();
        for (action, resource) in [("net.connect", "a.example:443"), ("fs.mount", "~/.ssh")] {
            let draft = crate::model::event::Draft { action: action.to_owned(), ..draft(resource) };
            trail.append(draft, &fixture.context, fixture.start).unwrap();
        }
        let count = |filter: Filter| oldest_first(fixture.path(), filter).unwrap().count();
        let action = |action: &str| Filter { action: Some(action.to_owned()), ..Filter::default() };
        assert_eq!(count(action("net.connect")), 1);
        assert_eq!(count(action("net.*")), 1);
        assert_eq!(count(action("*")), 2);
        assert_eq!(count(action("net")), 0);
        assert_eq!(count(Filter { decision: Some(Decision::Allow), ..Filter::default() }), 0);
        assert_eq!(count(Filter { resource: Some("a.ex".into()), ..Filter::default() }), 1);
        assert_eq!(count(Filter { resource: Some("a.ex".into()), ..action("fs.mount") }), 0);
        let at = |text: &str| Filter { since: Some(text.parse().unwrap()), ..Filter::default() };
        assert_eq!(count(at("2026-01-02T03:04:05.000000006Z")), 2);
        assert_eq!(count(at("2026-01-02T03:04:05.000000007Z")), 0);
    }

    #[test]
    fn g14_a_changed_event_is_shown_as_bad_not_as_event() {
        let fixture = Fixture::new();
        let mut trail = fixture.open();
        fixture.fill(&mut trail, 3);
        fixture.edit("00000001.jsonl.tmp", |text| text.replace("r-2", "r-9"));
        let mut events = oldest_first(fixture.path(), Filter::default()).unwrap();
        assert_eq!(events.next().unwrap().unwrap().seq, 1);
        assert!(matches!(events.next(), Some(Err(ReadError::Bad(bad))) if bad.line == 2 && bad.seq == 2));
        assert!(events.next().is_none());
    }
}
