//! Lines of a trail, with a bound: a file that somebody else wrote cannot make a reader grow.

use std::io::{self, BufRead, Read};

use super::chain::{Flaw, LINE_MAX};

/// Reads lines and knows where each began.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Number of the line that was read last, from 1.
    pub(super) number: u64,
    /// Offset at which that line began.
    pub(super) start: u64,
    end: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0, start: 0, end: 0 }
    }

    /// The next line without its line feed; `None` at the end of the file. After a flaw there is nothing to read on.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<&[u8], Flaw>>> {
        self.buffer.clear();
        self.start = self.end;
        let count = self.reader.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut self.buffer)?;
        self.end += count as u64;
        self.number += u64::from(count > 0);
        Ok(match self.buffer.split_last() {
            None => None,
            Some((b'\n', line)) => Some(Ok(line)),
            Some(_) if count == LINE_MAX => Some(Err(Flaw::TooLong)),
            Some(_) => Some(Err(Flaw::Torn)),
        })
    }

    /// The bytes of the line that was read last, whole or not.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bytes: &[u8]) -> Vec<Result<usize, Flaw>> {
        let mut lines = Lines::new(bytes);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let line = line.map(<[u8]>::len);
            let end = line.is_err();
            seen.push(line);
            if end {
                break;
            }
        }
        seen
    }

    #[test]
    fn lines_are_whole_torn_or_too_long() {
        assert_eq!(outcome(b""), []);
        assert_eq!(outcome(b"ab\n\nc\n"), [Ok(2), Ok(0), Ok(1)]);
        assert_eq!(outcome(b"ab\nc"), [Ok(2), Err(Flaw::Torn)]);
        let mut longest = vec![b'x'; LINE_MAX - 1];
        longest.push(b'\n');
        assert_eq!(outcome(&longest), [Ok(LINE_MAX - 1)]);
        longest.insert(0, b'x');
        assert_eq!(outcome(&longest), [Err(Flaw::TooLong)]);
    }
}
