//! For a terminal.

use std::fmt::Write as _;

use super::View;
use crate::{model::text::visible, plan::Noted};

/// The plan as lines; what widens first.
#[must_use]
pub fn text(view: &View<'_>) -> String {
    let mut text = String::new();
    for step in view.loud() {
        let _ = writeln!(text, "{} {}", step.name, step.headline());
        noted(&mut text, "grants", &step.grants);
        noted(&mut text, "waits for approval", &step.parked);
        noted(&mut text, "narrows", &step.narrows);
        for line in step.consequences() {
            let _ = writeln!(text, "  {}", visible(&line));
        }
    }
    for line in view.registries() {
        let _ = writeln!(text, "{}", visible(&line));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    if let Some(against) = view.against {
        let _ = write!(text, "compared with {}: ", visible(against));
    }
    let _ = writeln!(text, "{}", view.summary());
    if view.covered {
        let _ = writeln!(text, "{}", super::COVERED);
    }
    text
}

fn noted(text: &mut String, word: &str, grants: &[Noted]) {
    for noted in grants {
        let _ = write!(text, "  {word}: {}", visible(&noted.grant.to_string()));
        if !noted.why.is_empty() {
            let _ = write!(text, "  ({})", visible(&noted.why));
        }
        if let Some(place) = noted.place() {
            let _ = write!(text, "  {}", visible(&place));
        }
        text.push('\n');
    }
}
