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

/// The words of a task's command, one of which must take the prompt.
pub(super) fn task_words(task: &[Spanned<String>], findings: &mut Findings) -> Vec<String> {
    let resolved = words(task, Stands::TaskWord, findings);
    if let Some(first) = task.first().filter(|_| !resolved.iter().any(|word| text::has_prompt(word))) {
        let problem =
            findings.at(Code::MissingKey, first.span, "the command of a task does not take the prompt");
        findings.push(problem.help("write `${{ task.prompt }}` as one of its words"));
    }
    resolved
}

/// A command's words, checked.
pub(super) fn words(words: &[Spanned<String>], stands: Stands, findings: &mut Findings) -> Vec<String> {
    for word in words {
        text::refuse_nul(word, findings);
    }
    if let Some(program) = words.first().filter(|program| program.is_empty()) {
        let problem = findings.at(Code::WrongValue, program.span, "a program's name cannot be empty");
        findings.push(problem);
    }
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
