//! Follows a trail while it is written, across the sealing of its files. The kernel says when there is more.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::net::unix::pipe::Receiver;

use crate::model::event::Event;

use super::{
    chain::{self, Flaw, LINE_MAX},
    folder::{self, Bad, ReadError, Segment},
};

/// Read at once from a file.
const PIECE: usize = 64 << 10;

/// A reader at the end of a trail. As an iterator it blocks for the next event and never ends.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    inotify: OwnedFd,
    current: Option<Current>,
    // Events up to this number were seen before; only in the file that the reading began with.
    skip: u64,
}

/// The file that is being read.
#[derive(Debug)]
struct Current {
    segment: Segment,
    file: File,
    buffer: Vec<u8>,
    taken: usize,
    line: u64,
    seq: u64,
}

impl Tail {
    /// Follows the trail in `dir` from the event after number `after`; 0 is from the first.
    ///
    /// # Errors
    /// When the folder is not there or cannot be watched.
    pub fn open(dir: &Path, after: u64) -> Result<Self, ReadError> {
        let watch = || {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let wanted = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY | WatchFlags::ONLYDIR;
            inotify::add_watch(&inotify, dir, wanted)?;
            Ok::<_, Errno>(inotify)
        };
        // Watched before the first read: what comes in between is reported, not lost.
        let inotify = watch().map_err(|error| ReadError::io(dir)(error.into()))?;
        let current = first_segment(dir, after)?;
        Ok(Self { dir: dir.to_owned(), inotify, current, skip: after })
    }

    /// The next event that is there already; does not block. A bad record is an error, and the next call goes on
    /// after it.
    ///
    /// # Errors
    /// What is wrong with the record, or with the file system.
    pub fn ready(&mut self) -> Result<Option<Event>, ReadError> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(event) = current.next()? {
                    if event.seq > self.skip {
                        return Ok(Some(event));
                    }
                    continue;
                }
                if current.fill()? {
                    continue;
                }
            }
            let after = self.current.as_ref().map_or(0, |current| current.segment.number);
            let segments = folder::segments(&self.dir).map_err(ReadError::io(&self.dir))?;
            let Some(next) = segments.into_iter().find(|segment| segment.number > after) else {
                return Ok(None);
            };
            // The writer ended the old file before it made this one: what it holds now is all it will.
            if let Some(current) = &mut self.current {
                if current.fill()? {
                    continue;
                }
                self.skip = 0;
            }
            // Half a line at the old one's end was set aside by the writer.
            self.current = Some(Current::open(next)?);
        }
    }

    /// Blocks until the folder has changed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wait(&mut self) -> io::Result<()> {
        loop {
            match poll(&mut [PollFd::new(&self.inotify, PollFlags::IN)], None) {
                Err(Errno::INTR) => {}
                other => break other.map(|_| self.drain())?,
            }
        }
        Ok(())
    }

    /// Forgets the notices so far; what they told of is read next.
    fn drain(&self) {
        let mut notices = [0; 4096];
        while rustix::io::read(&self.inotify, &mut notices).is_ok_and(|count| count > 0) {}
    }
}

impl AsFd for Tail {
    /// Readable when the folder has changed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Iterator for Tail {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.ready().transpose() {
                return Some(event);
            }
            if let Err(error) = self.wait() {
                return Some(Err(ReadError::io(&self.dir)(error)));
            }
        }
    }
}

/// A [`Tail`] inside the async runtime.
#[derive(Debug)]
pub struct Follow {
    tail: Tail,
    notices: Receiver,
}

impl Follow {
    /// Wraps `tail`; call it inside the runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub fn new(tail: Tail) -> io::Result<Self> {
        // It is no pipe, but is read like one, and is non-blocking already.
        let notices = Receiver::from_owned_fd_unchecked(tail.inotify.try_clone()?)?;
        Ok(Self { tail, notices })
    }

    /// The next event; safe to cancel.
    ///
    /// # Errors
    /// As [`Tail::ready`].
    pub async fn next(&mut self) -> Result<Event, ReadError> {
        loop {
            if let Some(event) = self.tail.ready()? {
                return Ok(event);
            }
            self.notices.readable().await.map_err(ReadError::io(&self.tail.dir))?;
            // The read that finds nothing tells the runtime to wait again.
            let mut notices = [0; 4096];
            while self.notices.try_read(&mut notices).is_ok_and(|count| count > 0) {}
        }
    }
}

impl Current {
    fn open(segment: Segment) -> Result<Self, ReadError> {
        let file = segment.open()?;
        Ok(Self { segment, file, buffer: Vec::new(), taken: 0, line: 0, seq: 0 })
    }

    /// The next whole line, as an event.
    fn next(&mut self) -> Result<Option<Event>, ReadError> {
        let rest = &self.buffer[self.taken..];
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            if rest.len() < LINE_MAX {
                return Ok(None);
            }
            // Without an end there is no next line either: the rest of this file is left out.
            self.buffer.clear();
            self.taken = 0;
            self.line += 1;
            return Err(self.bad(Flaw::TooLong));
        };
        self.line += 1;
        let event = chain::read(&rest[..length]);
        self.taken += length + 1;
        match event {
            Ok(event) => {
                self.seq = event.seq;
                Ok(Some(event))
            }
            Err(flaw) => Err(self.bad(flaw)),
        }
    }

    /// Reads on; `false` at the end of what is written.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let mut piece = [0; PIECE];
        let count = self.file.read(&mut piece).map_err(ReadError::io(&self.segment.path))?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    fn bad(&self, flaw: Flaw) -> ReadError {
        let file = self.segment.path.clone();
        Bad { file, line: self.line, seq: self.seq.saturating_add(1), flaw }.into()
    }
}

/// The last segment that begins at or before the event after `after`.
fn first_segment(dir: &Path, after: u64) -> Result<Option<Current>, ReadError> {
    let segments = folder::segments(dir).map_err(ReadError::io(dir))?;
    for (index, segment) in segments.into_iter().enumerate().rev() {
        let mut current = Current::open(segment)?;
        let mut starts_early = index == 0;
        while current.buffer.len() < LINE_MAX && current.fill()? {
            let Some(end) = current.buffer.iter().position(|byte| *byte == b'\n') else { continue };
            starts_early |= chain::read(&current.buffer[..end]).is_ok_and(|event| event.seq <= after + 1);
            break;
        }
        if starts_early {
            return Ok(Some(current));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::fixture::Fixture;

    fn seqs(tail: &mut Tail) -> Vec<u64> {
        std::iter::from_fn(|| tail.ready().unwrap()).map(|event| event.seq).collect()
    }

    #[test]
    fn a_tail_sees_each_event_once_across_files() {
        let fixture = Fixture::new();
        let mut trail = fixture.open_with(3);
        let mut tail = Tail::open(fixture.path(), 0).unwrap();
        assert!(seqs(&mut tail).is_empty());
        for round in 0..5_u64 {
            fixture.fill(&mut trail, 4);
            let expected: Vec<_> = (round * 4 + 1..=round * 4 + 4).collect();
            assert_eq!(seqs(&mut tail), expected);
        }
        drop(trail);
        let mut trail = fixture.open();
        fixture.fill(&mut trail, 1);
        assert_eq!(seqs(&mut tail), [21]);
    }

    #[test]
    fn a_tail_begins_where_it_is_told() {
        let fixture = Fixture::new();
        let mut trail = fixture.open_with(3);
        fixture.fill(&mut trail, 10);
        for after in 0..=10 {
            let mut tail = Tail::open(fixture.path(), after).unwrap();
            assert_eq!(seqs(&mut tail), (after + 1..=10).collect::<Vec<_>>(), "after {after}");
        }
    }

    #[test]
    fn a_torn_line_of_a_dead_writer_is_left_out_and_the_next_file_read() {
        let fixture = Fixture::new();
        let mut trail = fixture.open();
        fixture.fill(&mut trail, 2);
        drop(trail);
        fixture.edit("00000001.jsonl.tmp", |text| format!("{text}{{\"time\":"));
        let mut tail = Tail::open(fixture.path(), 0).unwrap();
        assert_eq!(seqs(&mut tail), [1, 2]);
        let mut trail = fixture.open();
        fixture.fill(&mut trail, 1);
        assert_eq!(seqs(&mut tail), [3]);
    }

    #[test]
    fn a_blocked_reader_wakes_for_the_next_event() {
        let fixture = Fixture::new();
        let mut trail = fixture.open();
        let mut tail = Tail::open(fixture.path(), 0).unwrap();
        let reader =
            std::thread::spawn(move || tail.by_ref().take(3).map(|event| event.unwrap().seq).collect());
        fixture.fill(&mut trail, 3);
        let seen: Vec<u64> = reader.join().unwrap();
        assert_eq!(seen, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_task_wakes_for_the_next_event() {
        let fixture = Fixture::new();
        let mut trail = fixture.open();
        let mut follow = Follow::new(Tail::open(fixture.path(), 0).unwrap()).unwrap();
        let reader = tokio::spawn(async move { follow.next().await.unwrap().seq });
        tokio::task::yield_now().await;
        fixture.fill(&mut trail, 1);
        assert_eq!(reader.await.unwrap(), 1);
    }
}
