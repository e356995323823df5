//! Commands and images.

use super::text::{self, Stands};
use crate::kit::{
    findings::Findings,
    problem::{Code, quoted},
    spanned::Spanned,
};

/// The built-in base template.
pub(super) const BASE: &str = "debian-12";

/// Agents that are planned: a name that is spelt right deserves a better answer than "unknown".
pub(in crate::kit) const PLANNED: [&str; 7] =
    ["claude", "codex", "copilot", "docker-agent", "gemini", "kiro", "opencode"];

/// A command's words, checked.
pub(super) fn words(words: &[Spanned<String>], stands: Stands, findings: &mut Findings) -> Vec<String> {
    words.iter().map(|word| text::expressions(word, stands, findings)).collect()
}

/// A template's image.
pub(super) fn image(image: &Spanned<String>, findings: &mut Findings) -> Option<String> {
    if image.value == BASE {
        return Some(BASE.to_owned());
    }
    let message = format!("the template image {} is not available", quoted(image));
    let help = format!("write {BASE}; container images come later");
    findings.push(findings.at(Code::NotAvailable, image.span, message).help(help));
    None
}
