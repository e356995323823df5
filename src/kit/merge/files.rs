//! Files by the path at which the guest finds them, however it is written.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{At, Placed};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, quoted},
        rule::{Rule, holds},
    },
    model::desired::{AGENT_HOME, File},
};

/// A file's path as the guest resolves it: `~/x` lies in the agent's home; no `.` and no `//`.
pub(super) fn in_guest(path: &str) -> PathBuf {
    let path = match path.strip_prefix("~/") {
        Some(below) => Cow::Owned(format!("{AGENT_HOME}/{below}")),
        None => Cow::Borrowed(path),
    };
    Path::new(&*path).components().collect()
}

/// Reports a file that stands twice, and one beneath another; keeps the first of each. `written` is a file's path in
/// the guest, as far as it is known.
pub(in crate::kit) fn separate(
    files: &mut Vec<Placed<File>>,
    findings: &mut Findings,
    written: impl Fn(&File) -> Cow<'_, str>,
) {
    // In the order of their components no file lies between a folder and what is beneath it: the neighbours tell.
    let mut kept: BTreeMap<PathBuf, (String, At)> = BTreeMap::new();
    files.retain(|Placed { value, at }| {
        let path = in_guest(&written(value));
        let above =
            kept.range::<PathBuf, _>(..=&path).next_back().filter(|(other, _)| path.starts_with(other));
        let below = || kept.range::<PathBuf, _>(&path..).next().filter(|(other, _)| other.starts_with(&path));
        if let Some((other, (shown, place))) = above.or_else(below).filter(|_| holds(Rule::Once)) {
            let (this, that) = (quoted(&value.path), quoted(shown));
            let message = if *other == path && this == that {
                format!("the file {this} stands twice")
            } else if *other == path {
                format!("{this} and {that} are one file")
            } else if path.starts_with(other) {
                format!("{this} lies beneath {that}, which is a file")
            } else {
                format!("{that} lies beneath {this}, which is a file")
            };
            let problem = at.problem(Code::File, message).label(format!("the other: {}", place.place()));
            findings.push(problem.help("keep one of the two"));
            return false;
        }
        kept.insert(path, (value.path.clone(), at.clone()));
        true
    });
}
