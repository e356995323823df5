//! The last lines of what a step wrote: few, short, and nothing in them that a terminal obeys.

use std::collections::VecDeque;

use crate::model::text::visible_columns;

/// Last lines of a failed step that its status holds, and the longest, in characters.
const LINES: usize = 12;
const CHARS: usize = 300;

/// The last lines of a step's output.
#[derive(Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    const BYTES: usize = 4 * LINES * CHARS;

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let over = self.0.len().saturating_sub(Self::BYTES);
        self.0.drain(..over);
    }

    /// With control characters visible.
    pub(super) fn lines(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let shown = |line: &str| -> String {
            let line: String = line.chars().filter(|c| *c != '\r').take(CHARS).collect();
            visible_columns(&line).into_owned()
        };
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(shown).collect();
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    }
}

#[test]
fn the_last_lines_are_few_short_and_drive_no_terminal() {
    let mut tail = Tail::default();
    for number in 0..10_000 {
        tail.add(format!("line {number}\r\n\n").as_bytes());
    }
    tail.add(format!("\u{1b}[2J{}\n", "x".repeat(100_000)).as_bytes());
    let lines = tail.lines();
    assert!(lines.len() <= LINES && lines.iter().all(|line| line.len() <= CHARS), "{lines:?}");
    let mut tail = Tail::default();
    tail.add(b"one\n\x1b[31mtwo\n");
    assert_eq!(tail.lines(), ["one", "\\u{1b}[31mtwo"]);
}
