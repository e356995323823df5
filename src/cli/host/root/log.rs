//! What is told of a step that failed: the end of its output, and the hosts that it was kept from.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use crate::{
    audit::query::{Filter, oldest_first},
    cli::failure::Failure,
    model::event::Decision,
};

/// Lines that a failure shows.
const LINES: usize = 20;
/// A longer line is cut, in bytes.
const LINE_MAX: u64 = 500;
/// Hosts that a failure names.
const BLOCKED_SHOWN: usize = 5;

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

/// Many programs say of a 403 only that it was one: the trail says which hosts a failed step was kept from.
pub(super) fn with_blocked(failure: Failure, trail: &Path) -> Failure {
    let denied = Filter { decision: Some(Decision::Deny), ..Filter::default() };
    let mut blocked: Vec<String> = Vec::new();
    for event in oldest_first(trail, denied).into_iter().flatten().flatten() {
        if !blocked.contains(&event.resource) {
            blocked.push(event.resource);
        }
    }
    let more = blocked.len().saturating_sub(BLOCKED_SHOWN);
    blocked.truncate(BLOCKED_SHOWN);
    if blocked.is_empty() {
        return failure;
    }
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    failure.hint(format!(
        "policy kept it from {}{more}; what a step needs has to be allowed under `network.rules`",
        blocked.join(", ")
    ))
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
