//! For a comment on a pull request, which an agent may have written: nothing that stands in a file becomes markup.

use std::fmt::Write as _;

use super::{
    View,
    escape::{code, prose, short},
    widens,
};
use crate::{
    model::text::counted,
    plan::{Noted, Planned},
};

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
/// Longest text of a grant's beginning, where there is room for no more.
const BRIEF_MAX: usize = 60;
/// Room for what is written after the last step.
const FOOT: usize = 400;

/// The plan as a comment; what widens first.
#[must_use]
pub fn markdown(view: &View<'_>) -> String {
    let mut out = head(view);
    let steps = view.loud();
    let room = MARKDOWN_MAX.saturating_sub(out.chars().count() + FOOT);
    let whole = |detail| {
        let mut text = String::new();
        let mut used = 0;
        for step in &steps {
            let part = section(step, detail);
            used += part.chars().count();
            if used > room {
                return None;
            }
            text.push_str(&part);
        }
        Some(text)
    };
    match whole(Detail::Full).or_else(|| whole(Detail::Grants)) {
        Some(text) => out.push_str(&text),
        None => crowded(&mut out, steps, room),
    }
    out
}

/// What stands above the steps.
fn head(view: &View<'_>) -> String {
    let mut out = format!("{MARKER}\n");
    let title = match (view.plan.widens(), view.covered) {
        (true, true) => "### Cofferdam: this permits more, and its committed approvals cover that",
        (true, false) => "### Cofferdam: this permits more",
        (false, _) => "### Cofferdam: permits no more",
    };
    let _ = writeln!(out, "{title}\n");
    let against = view.against.map(|against| format!(" Compared with {}.", cell(against)));
    let _ = writeln!(out, "{}.{}\n", view.summary(), against.unwrap_or_default());
    if view.covered {
        let _ = writeln!(out, "{}\n", prose(super::COVERED));
    }
    for warning in view.warnings.iter().take(WARNINGS_MAX) {
        let _ = writeln!(out, "- {}", cell(warning));
    }
    let more = view.warnings.len().saturating_sub(WARNINGS_MAX);
    if more > 0 {
        let _ = writeln!(out, "- **and {}**", counted(more, "more warning"));
    }
    if !view.warnings.is_empty() {
        out.push('\n');
    }
    out
}

/// How much of a step is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Everything.
    Full,
    /// What it permits, without reasons.
    Grants,
}

fn section(step: &Planned, detail: Detail) -> String {
    let mut out = heading(step);
    // What widens has the room first.
    for (word, grants) in tables(step) {
        let _ = writeln!(out, "| {word} | why | where |\n|---|---|---|");
        for noted in grants {
            let why = if detail == Detail::Full { cell(&noted.why) } else { String::new() };
            out.push_str(&row(noted, &why));
        }
        out.push('\n');
    }
    if detail == Detail::Full {
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

fn heading(step: &Planned) -> String {
    format!("#### {} {}\n\n", code(step.name.as_str()), prose(&step.headline()))
}

/// What a step has grants in, each with a word for it.
fn tables(step: &Planned) -> impl Iterator<Item = (&'static str, &[Noted])> {
    let all = [
        ("**grants**", step.grants.as_slice()),
        ("**waits for approval**", &step.parked),
        ("narrows", &step.narrows),
    ];
    all.into_iter().filter(|(_, grants)| !grants.is_empty())
}

/// There is no room for all. Each sandbox keeps its heading and its counts, and has the same share of what is left; what
/// one does not need is the next one's. Where not even the headings have room, what widens has it first.
fn crowded(out: &mut String, mut steps: Vec<&Planned>, room: usize) {
    let widest = |step: &&Planned| {
        let ranks = step.grants.iter().chain(&step.parked).map(|noted| noted.grant.rank());
        ranks.min().unwrap_or(u8::MAX)
    };
    steps.sort_by_cached_key(widest);
    let least: Vec<usize> = steps.iter().map(|step| within(step, 0).chars().count()).collect();
    let mut used = 0;
    let fits = |length: &&usize| {
        used += **length;
        used <= room
    };
    let shown = least.iter().take_while(fits).count();
    let mut spare = room - least[..shown].iter().sum::<usize>();
    for (at, step) in steps[..shown].iter().enumerate() {
        let share = spare / (shown - at);
        let part = within(step, share);
        spare -= part.chars().count().saturating_sub(least[at]).min(spare);
        out.push_str(&part);
    }
    let rest = &steps[shown..];
    if !rest.is_empty() {
        let grants = rest
            .iter()
            .map(|step| tables(step).map(|(_, grants)| grants.len()).sum::<usize>())
            .sum::<usize>();
        let sandboxes = match rest.len() {
            1 => "1 more sandbox".to_owned(),
            more => format!("{more} more sandboxes"),
        };
        let verb = if rest.len() == 1 { "is" } else { "are" };
        let _ = writeln!(
            out,
            "**{sandboxes} with {} {verb} not shown: a comment has no room for them. `cofferdam plan` shows all.**\n",
            counted(grants, "grant"),
        );
    }
}

/// A step with as many of its grants as have room, the widest first, and how many more there are. Nothing of `room` is
/// needed for its heading and its counts.
fn within(step: &Planned, mut room: usize) -> String {
    let mut out = heading(step);
    for (word, grants) in tables(step) {
        let _ = writeln!(out, "| {word} | why | where |\n|---|---|---|");
        let mut rows: Vec<&Noted> = grants.iter().collect();
        rows.sort_by_key(|noted| noted.grant.rank());
        let mut shown = 0;
        for noted in rows {
            let rows = [row(noted, ""), brief(noted)];
            let Some(row) = rows.into_iter().find(|row| row.chars().count() <= room) else { break };
            room -= row.chars().count();
            out.push_str(&row);
            shown += 1;
        }
        let more = match grants.len() - shown {
            0 => String::new(),
            left => format!("| **and {}: `cofferdam plan` shows all** | | |\n", counted(left, "more grant")),
        };
        let _ = writeln!(out, "{more}");
    }
    if !widens(step) && step.narrows.is_empty() {
        let _ = writeln!(out, "- permits no more and no less");
    }
    out.push('\n');
    out
}

fn row(noted: &Noted, why: &str) -> String {
    let place = noted.place().map(|place| cell(&both_ends(&place))).unwrap_or_default();
    format!("| {} | {why} | {place} |\n", cell(&both_ends(&noted.grant.to_string())))
}

/// Its beginning, where a hostile path would take all the room.
fn brief(noted: &Noted) -> String {
    format!("| {} | | |\n", code(&short(&noted.grant.to_string(), BRIEF_MAX)))
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
