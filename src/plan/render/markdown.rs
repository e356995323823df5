//! For a comment on a pull request, which an agent may have written: nothing that stands in a file becomes markup.

use std::fmt::Write as _;

use super::{
    View,
    escape::{code, prose, short},
    text::place,
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
/// Room for what is written after the last step.
const FOOT: usize = 400;

/// The plan as a comment; what widens first.
#[must_use]
pub fn markdown(view: &View<'_>) -> String {
    let mut out = format!("{MARKER}\n");
    let title = if view.plan.widens() {
        "### Cofferdam: this permits more"
    } else {
        "### Cofferdam: permits no more"
    };
    let _ = writeln!(out, "{title}\n");
    let against = view.against.map(|against| format!(" Compared with {}.", code(&short(against, TEXT_MAX))));
    let _ = writeln!(out, "{}.{}\n", view.summary(), against.unwrap_or_default());
    for warning in view.warnings.iter().take(WARNINGS_MAX) {
        let _ = writeln!(out, "- {}", code(&short(warning, TEXT_MAX)));
    }
    if !view.warnings.is_empty() {
        out.push('\n');
    }
    let steps = view.loud();
    let mut length = out.chars().count();
    let mut left = steps.len();
    for step in steps {
        let part = section(step);
        let size = part.chars().count();
        if length + size + FOOT > MARKDOWN_MAX {
            break;
        }
        out.push_str(&part);
        length += size;
        left -= 1;
    }
    if left > 0 {
        let _ = writeln!(
            out,
            "**{left} more are not shown: a comment has no room for them. `cofferdam plan` shows all.**\n"
        );
    }
    out
}

fn section(step: &Planned) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "#### {} {}\n", code(step.name.as_str()), prose(&step.headline()));
    table(&mut out, "**grants**", &step.grants);
    table(&mut out, "**waits for approval**", &step.parked);
    table(&mut out, "narrows", &step.narrows);
    for line in step.consequences() {
        let _ = writeln!(out, "- {}", code(&short(&line, TEXT_MAX)));
    }
    if !widens(step) && step.narrows.is_empty() {
        let _ = writeln!(out, "- permits no more and no less");
    }
    out.push('\n');
    out
}

/// Most rows of one table: a step is shown whole or cut, never left out for its length.
const ROWS_MAX: usize = 40;

fn table(out: &mut String, word: &str, grants: &[Noted]) {
    if grants.is_empty() {
        return;
    }
    let _ = writeln!(out, "| {word} | why | where |\n|---|---|---|");
    for noted in grants.iter().take(ROWS_MAX) {
        // Forges look for mentions and references in rendered text too, but not in code.
        let cell = |text: &str| if text.is_empty() { String::new() } else { code(&short(text, TEXT_MAX)) };
        let grant = code(&short(&noted.grant.to_string(), TEXT_MAX));
        let place = place(noted).unwrap_or_default();
        let _ = writeln!(out, "| {grant} | {} | {} |", cell(&noted.why), cell(&place));
    }
    if grants.len() > ROWS_MAX {
        let _ = writeln!(out, "| and {} more | | |", grants.len() - ROWS_MAX);
    }
    out.push('\n');
}
