//! Checks that any text may need, and places inside of a text.

use crate::kit::{
    findings::Findings,
    problem::{Code, Span},
    spanned::Spanned,
};

/// The place of byte `at` of a value, through to the value's end. Exact where the value stands in the file as it
/// is (no escapes, no folded lines); else the whole value.
pub(super) fn inside(findings: &Findings, text: &Spanned<String>, at: usize) -> Span {
    let written = findings.source().slice(text.span);
    let Some(begin) = written.find(text.value.as_str()) else { return text.span };
    let Some(before) = written.get(..begin + at).filter(|before| !before.contains('\n')) else {
        return text.span;
    };
    let small = |size: usize| u32::try_from(size).unwrap_or_default();
    let end = text.span.start + small(begin + text.value.len());
    let start = text.span.start + small(before.len());
    // A zero-length place cannot be underlined.
    Span {
        start,
        end: end.max(start + 1),
        column: text.span.column + small(before.chars().count()),
        ..text.span
    }
}

/// Reports `${{ … }}`, which is not carried out yet.
pub(super) fn refuse_expression(text: &Spanned<String>, findings: &mut Findings) {
    let Some(at) = text.value.find("${{") else { return };
    let span = inside(findings, text, at);
    let problem = findings.at(Code::NotAvailable, span, "`${{ … }}` is not available yet");
    findings.push(problem.label("not available yet").help("write the value itself for now"));
}

/// Reports `${VAR}`, which other tools replace and this format does not.
pub(super) fn refuse_variable(text: &Spanned<String>, findings: &mut Findings) {
    let name_follows = |rest: &str| rest.starts_with(|sign: char| sign.is_ascii_alphabetic() || sign == '_');
    let Some((at, _)) = text.value.match_indices("${").find(|(at, _)| name_follows(&text.value[at + 2..]))
    else {
        return;
    };
    let span = inside(findings, text, at);
    let problem = findings.at(Code::WrongValue, span, "variables are not replaced in this file");
    findings.push(problem.label("stays as it is written").help("write the value itself"));
}

/// Reports a NUL, which no argument, variable or path can hold.
pub(super) fn refuse_nul(text: &Spanned<String>, findings: &mut Findings) -> bool {
    let has = text.value.contains('\0');
    if has {
        findings.push(findings.at(Code::WrongValue, text.span, "a NUL character cannot stand here"));
    }
    has
}
