//! What the event parser found wrong, in words of ours where a fix is known.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::{
    findings::Findings,
    parse::{place, too_deep},
    problem::{Code, Problem},
};

/// The finding for an error of the event parser.
pub(super) fn syntax(findings: &Findings, text: &str, error: &ScanError) -> Problem {
    use ErrorKind as K;
    let marker = error.marker();
    let mut offset = marker.byte_offset().unwrap_or_default().min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    if let Some(tab) = tab_in_indentation(text, offset) {
        let problem = findings.at(Code::Syntax, place(text, tab), "a tab cannot indent a line");
        return problem.label("tab").help("indent with spaces");
    }
    let span = place(text, offset);
    match error.kind() {
        K::RecursionLimitExceeded => too_deep(findings, span),
        K::DirectiveDisallowed => findings
            .at(Code::YamlFeature, span, "directives (`%…`) are not part of this format")
            .help("remove the line; every file is YAML 1.2"),
        K::UnknownAnchor => findings
            .at(Code::YamlFeature, span, "aliases (`*name`) are not part of this format")
            .help("a pattern that begins with `*` needs quotes: \"*.example.com\""),
        kind => {
            let problem = findings.at(Code::Syntax, span, format!("this is not YAML: {kind}"));
            problem
                .help("look at the indentation, the quotes and the brackets on this line and the one before")
        }
    }
}

/// The first tab in the white space that begins a line: that of `offset`, the one before, or, since a scalar may
/// have run into it, the one after.
fn tab_in_indentation(text: &str, offset: usize) -> Option<usize> {
    let line = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let before = text[..line.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
    let after = text[offset..].find('\n').map_or(text.len(), |at| offset + at + 1);
    [line, before, after].into_iter().find_map(|start| {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let lead = text.as_bytes()[start..].iter().take_while(|byte| blank(byte)).count();
        text[start..start + lead].find('\t').map(|at| start + at)
    })
}
