//! Kits against what the lock file pins.

use super::{LOCK_FILE, Lock};
use crate::{
    kit::{
        discover::SourceFile,
        problem::{Code, Problem, Source, Span, quoted},
    },
    model::desired::KitUse,
};

/// Kits that are not what the lock file says, each once. Built-in ones come with the program and are not pinned.
pub(in crate::kit) fn differing_kits<'k>(
    uses: impl Iterator<Item = &'k KitUse>,
    file: Option<&SourceFile>,
    lock: Option<&Lock>,
) -> Vec<Problem> {
    let text = file.map(|file| String::from_utf8_lossy(&file.bytes)).unwrap_or_default();
    let source = Source::new(file.map_or(LOCK_FILE, |file| &file.name), &text);
    let mut problems = Vec::new();
    for (name, kit) in super::by_name(uses) {
        let pinned = lock.and_then(|lock| lock.kits.get(&name));
        let (line, message) = match pinned {
            Some(pinned) if pinned.digest == kit.digest => continue,
            Some(pinned) => (
                pinned.line,
                format!("the kit {} ({}) is not the one that is pinned", quoted(&name), kit.source),
            ),
            None => (1, format!("{LOCK_FILE} does not have the kit {} ({})", quoted(&name), kit.source)),
        };
        let problem = Problem::new(Code::Lock, &source, place(&text, line), message);
        problems
            .push(problem.help("look at what changed in it, run `cofferdam update`, and commit the file"));
    }
    problems
}

/// The whole of a line.
pub(super) fn place(text: &str, line: u32) -> Span {
    let small = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum();
    let length = text.get(before..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    Span { start: small(before), end: small(before + length), line, column: 1 }
}
