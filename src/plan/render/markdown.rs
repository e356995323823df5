//! For a comment on a pull request, which an agent may have written: nothing that stands in a file becomes markup.

use std::fmt::Write as _;

use super::{
    View,
    escape::{code, prose, short},
    widens,
};
use crate::plan::{Noted, Planned};

/// First line of the comment: a workflow finds its own comment by it and replaces that.
pub const MARKER: &str = "<!-- cofferdam-plan -->";
/// Longest comment, in characters. A forge takes 65,536.
pub const MARKDOWN_MAX: usize = 60_000;

/// Most warnings above the steps.
const WARNINGS_MAX: usize = 10;
/// Longest text of one grant or reason, in characters.
const TEXT_MAX: usize = 300;
/// Longest text of one cell as it is written, in characters: a sign may become nine.
const CELL_MAX: usize = 1400;
/// Room for what is written after the last step.
const FOOT: usize = 400;
/// Least room of one step: its heading, one grant, and how many more there are.
const STEP_MIN: usize = 2000;

/// How much of a step is told. What it permits comes before why, and a row that is left out is counted.
#[derive(Clone, Copy)]
enum Detail {
    /// Everything.
    Full,
    /// What it permits, without reasons.
    Grants,
    /// As much of that as has room, the widest first.
    Within(usize),
}

/// The plan as a comment; what widens first.
#[must_use]
pub fn markdown(view: &View<'_>) -> String {
    let mut out = format!("{MARKER}\n");
    let title = match (view.plan.widens(), view.covered) {
        (true, true) => "### Cofferdam: this permits more, and its committed approvals cover that",
        (true, false) => "### Cofferdam: this permits more",
        (false, _) => "### Cofferdam: permits no more",
    };
    let _ = writeln!(out, "{title}\n");
    let against = view.against.map(|against| format!(" Compared with {}.", code(&short(against, TEXT_MAX))));
    let _ = writeln!(out, "{}.{}\n", view.summary(), against.unwrap_or_default());
    if view.covered {
        let _ = writeln!(out, "{}\n", prose(super::COVERED));
    }
    for warning in view.warnings.iter().take(WARNINGS_MAX) {
        let _ = writeln!(out, "- {}", code(&short(warning, TEXT_MAX)));
    }
    if !view.warnings.is_empty() {
        out.push('\n');
    }
    let steps = view.loud();
    let room = MARKDOWN_MAX.saturating_sub(out.chars().count() + FOOT);
    let each = (room / steps.len().max(1)).max(STEP_MIN);
    let all = |detail| steps.iter().map(|step| section(step, detail)).collect::<Vec<_>>();
    let size = |parts: &[String]| parts.iter().map(|part| part.chars().count()).sum::<usize>();
    let details = [Detail::Full, Detail::Grants];
    let whole = details.into_iter().map(all).find(|parts| size(parts) <= room);
    let (mut left, mut used) = (0, 0);
    for part in whole.unwrap_or_else(|| all(Detail::Within(each))) {
        let length = part.chars().count();
        if used + length > room {
            left += 1;
            continue;
        }
        out.push_str(&part);
        used += length;
    }
    if left > 0 {
        let _ = writeln!(
            out,
            "**{left} more are not shown: a comment has no room for them. `cofferdam plan` shows all.**\n"
        );
    }
    out
}

fn section(step: &Planned, detail: Detail) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "#### {} {}\n", code(step.name.as_str()), prose(&step.headline()));
    // What widens has the room first.
    table(&mut out, "**grants**", &step.grants, detail);
    table(&mut out, "**waits for approval**", &step.parked, detail);
    table(&mut out, "narrows", &step.narrows, detail);
    if matches!(detail, Detail::Full) {
        for line in step.consequences() {
            let _ = writeln!(out, "- {}", cell(&line));
        }
    }
    if !widens(step) && step.narrows.is_empty() {
        let _ = writeln!(out, "- permits no more and no less");
    }
    out.push('\n');
    out
}

fn table(out: &mut String, word: &str, grants: &[Noted], detail: Detail) {
    if grants.is_empty() {
        return;
    }
    let _ = writeln!(out, "| {word} | why | where |\n|---|---|---|");
    let mut rows: Vec<&Noted> = grants.iter().collect();
    if matches!(detail, Detail::Within(_)) {
        rows.sort_by_key(|noted| noted.grant.rank());
    }
    let mut left = 0;
    for noted in rows {
        let why = if matches!(detail, Detail::Full) { cell(&noted.why) } else { String::new() };
        let place = noted.place().map(|place| cell(&place)).unwrap_or_default();
        let row = format!("| {} | {why} | {place} |\n", cell(&both_ends(&noted.grant.to_string())));
        let has_room = match detail {
            Detail::Within(room) => out.chars().count() + row.chars().count() < room,
            Detail::Full | Detail::Grants => true,
        };
        if has_room {
            out.push_str(&row);
        } else {
            left += 1;
        }
    }
    if left > 0 {
        let _ = writeln!(out, "| **and {left} more: `cofferdam plan` shows all** | | |");
    }
    out.push('\n');
}

/// Harmless, and no longer than a cell. Forges look for mentions and references in rendered text too, but not in code.
fn cell(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut max = TEXT_MAX;
    loop {
        let shown = code(&short(text, max));
        if shown.chars().count() <= CELL_MAX || max == 0 {
            return shown;
        }
        max /= 2;
    }
}

/// A long grant loses its middle: what it is stands at its beginning, how far it goes (`write`, `private`) at its end.
fn both_ends(text: &str) -> String {
    const END: usize = 80;
    let length = text.chars().count();
    if length <= TEXT_MAX / 2 {
        return text.to_owned();
    }
    let begin: String = text.chars().take(TEXT_MAX / 2 - END).collect();
    let end: String = text.chars().skip(length - END).collect();
    format!("{begin}…{end}")
}
