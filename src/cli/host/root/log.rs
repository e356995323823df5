//! The end of a step's output, as it goes by.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
};

/// Lines that a failure shows.
const LINES: usize = 20;
/// A longer line is cut, in bytes.
const LINE_MAX: u64 = 500;

/// Reads an output to its end and gives its last lines, each of them indented. `heard` gets each line.
pub(super) fn follow(output: impl Read, mut heard: impl FnMut(&str)) -> String {
    let mut reader = BufReader::new(output);
    let mut tail: VecDeque<String> = VecDeque::with_capacity(LINES);
    let mut raw = Vec::new();
    loop {
        raw.clear();
        match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut raw) {
            Ok(0) | Err(_) => return tail.into_iter().map(|line| format!("\n  {line}")).collect(),
            Ok(_) => {}
        }
        // What rewrites a line in place, as a progress bar does, counts as lines.
        for line in String::from_utf8_lossy(&raw).split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
            heard(line);
            if tail.len() == LINES {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_everything_is_heard() {
        let text: String = (0..100).map(|number| format!("line {number}\n\n")).collect();
        let mut heard = 0;
        let tail = follow(text.as_bytes(), |_| heard += 1);
        assert!(tail.starts_with("\n  line 80\n  line 81") && tail.ends_with("line 99"), "{tail}");
        assert_eq!(heard, 100);
        let endless = vec![b'x'; 1 << 20];
        assert!(follow(endless.as_slice(), |_| {}).len() <= (LINES + 1) * (LINE_MAX as usize + 3));
        assert_eq!(follow("10%\r90%\rdone\n".as_bytes(), |_| {}), "\n  10%\n  90%\n  done");
    }
}
