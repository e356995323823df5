//! For the log of a workflow on GitHub: its annotation commands. A line that a file could end would be another command.

use std::fmt::Write as _;

use super::View;
use crate::{
    model::text::visible,
    plan::{Noted, Reason},
};

/// Most annotations: a forge shows ten of a kind.
const ANNOTATIONS_MAX: usize = 50;

/// One annotation a line: what widens and what cannot be done first, then what narrows, then the summary.
#[must_use]
pub fn github(view: &View<'_>) -> String {
    let (mut loud, mut quiet) = (Vec::new(), Vec::new());
    for step in view.loud() {
        let add = |to: &mut Vec<String>, level: &str, words: &str, all: &[Noted]| {
            to.extend(all.iter().map(|noted| {
                let why = if noted.why.is_empty() { String::new() } else { format!(" ({})", noted.why) };
                let title = format!("{} {words}", step.name);
                let place = (noted.file.as_deref(), noted.line, None);
                annotation(level, place, &title, &format!("{}{why}", noted.grant))
            }));
        };
        add(&mut loud, "warning", "may now", &step.grants);
        add(&mut loud, "warning", "asks for", &step.parked);
        add(&mut quiet, "notice", "may no longer", &step.narrows);
        for rejected in &step.rejected {
            add(&mut quiet, "notice", "asks for what was rejected", std::slice::from_ref(&rejected.asked));
        }
        for lack in &step.lacks {
            loud.push(annotation("warning", NOWHERE, step.name.as_str(), &lack.words()));
        }
        for reason in &step.reasons {
            if let Reason::CreateOnly { field } = reason {
                let text = format!("{field} is fixed when the sandbox is made");
                loud.push(annotation("error", NOWHERE, step.name.as_str(), &text));
            }
        }
    }
    loud.extend(quiet);
    let more = loud.len().saturating_sub(ANNOTATIONS_MAX);
    loud.truncate(ANNOTATIONS_MAX);
    if more > 0 {
        let verb = if more == 1 { "is" } else { "are" };
        loud.push(annotation("warning", NOWHERE, "cofferdam", &format!("{more} more {verb} not shown")));
    }
    let covered = if view.covered { format!("; {}", super::COVERED) } else { String::new() };
    let summary = format!("{}{covered}", view.summary());
    loud.push(annotation("notice", NOWHERE, "cofferdam plan", &summary));
    loud.concat()
}

/// Where in a file: its path, line and column.
pub(super) type Place<'a> = (Option<&'a str>, Option<u32>, Option<u32>);
/// Nowhere.
const NOWHERE: Place<'_> = (None, None, None);

pub(super) fn annotation(level: &str, (file, line, column): Place<'_>, title: &str, text: &str) -> String {
    let mut out = format!("::{level} ");
    if let Some(file) = file {
        let _ = write!(out, "file={},", property(file));
        for (name, number) in [("line", line), ("col", column)] {
            if let Some(number) = number {
                let _ = write!(out, "{name}={number},");
            }
        }
    }
    let _ = writeln!(out, "title={}::{}", property(title), data(text));
    out
}

/// As the runner decodes what follows `::`.
fn data(text: &str) -> String {
    visible(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As the runner decodes a property, which `:` and `,` would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
