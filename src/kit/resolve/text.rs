//! Checks that any text may need, expressions in it, and places inside of it.

use crate::kit::{
    findings::Findings,
    problem::{Code, Span, quoted},
    spanned::Spanned,
};

/// The workspace's path; replaced when a file is loaded.
pub(in crate::kit) const WORKSPACE: &str = "${{ workspace.path }}";
/// The prompt of a task; stays in the model.
const PROMPT: &str = "${{ task.prompt }}";

/// Where a text stands, which decides what may be replaced in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Where nothing is: names, paths, patterns, and text for a shell (a path would need its quoting there).
    Plain,
    /// A variable or a file: the workspace and placeholders of secrets.
    Value,
    /// A word of a command: the workspace.
    Word,
    /// A word of the command that carries out a task: the workspace and the prompt.
    TaskWord,
}

impl Stands {
    fn takes(self) -> &'static str {
        match self {
            Self::Plain => {
                "expressions stand in variables, in `content` of files and in commands; elsewhere write the value itself"
            }
            Self::Value => {
                "here stand `${{ workspace.path }}`, `${{ secrets.NAME.placeholder }}` and `${{ secrets.NAME.placeholder.last20 }}`; \
                 a file with other expressions is copied as it is by `source`"
            }
            Self::Word => "here stands `${{ workspace.path }}`",
            Self::TaskWord => "here stand `${{ task.prompt }}` and `${{ workspace.path }}`",
        }
    }

    fn allows(self, expression: &Expression<'_>) -> bool {
        match expression {
            Expression::Workspace => self != Self::Plain,
            Expression::Secret { .. } => self == Self::Value,
            Expression::Prompt => self == Self::TaskWord,
        }
    }
}

/// What stands between `${{` and `}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expression<'a> {
    Workspace,
    Prompt,
    /// The placeholder of a secret, or its last 20 characters.
    Secret {
        name: &'a str,
        last20: bool,
    },
}

impl<'a> Expression<'a> {
    fn read(text: &'a str) -> Option<Self> {
        match text.trim() {
            "workspace.path" => return Some(Self::Workspace),
            "task.prompt" => return Some(Self::Prompt),
            _ => {}
        }
        let (name, form) = text.trim().strip_prefix("secrets.")?.split_once('.')?;
        let plain = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return None;
        }
        match form {
            "placeholder" => Some(Self::Secret { name, last20: false }),
            "placeholder.last20" => Some(Self::Secret { name, last20: true }),
            _ => None,
        }
    }

    /// In the one spelling that the model has.
    fn canonical(self) -> String {
        match self {
            Self::Workspace => WORKSPACE.to_owned(),
            Self::Prompt => PROMPT.to_owned(),
            Self::Secret { name, last20: false } => format!("${{{{ secrets.{name}.placeholder }}}}"),
            Self::Secret { name, last20: true } => format!("${{{{ secrets.{name}.placeholder.last20 }}}}"),
        }
    }
}

/// A stretch of a text.
pub(super) enum Piece<'a> {
    Plain(&'a str),
    /// What was read, all of its text, and the byte where it begins.
    Expression(Option<Expression<'a>>, &'a str, usize),
}

/// Splits a text at its expressions. One that is not closed reaches to the end.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let begin = at + found;
        pieces.push(Piece::Plain(&text[at..begin]));
        let end = text[begin..].find("}}").map(|end| begin + end + 2);
        at = end.unwrap_or(text.len());
        let read = end.and_then(|end| Expression::read(&text[begin + 3..end - 2]));
        pieces.push(Piece::Expression(read, &text[begin..at], begin));
    }
    pieces.push(Piece::Plain(&text[at..]));
    pieces
}

/// The secrets that a text's expressions name.
pub(super) fn secrets_named(text: &str) -> Vec<&str> {
    let secret = |piece| match piece {
        Piece::Expression(Some(Expression::Secret { name, .. }), ..) => Some(name),
        _ => None,
    };
    pieces(text).into_iter().filter_map(secret).collect()
}

/// A text with its expressions in their one spelling; those that cannot stand there are reported.
pub(super) fn expressions(text: &Spanned<String>, stands: Stands, findings: &mut Findings) -> String {
    if !text.value.contains("${{") {
        return text.value.clone();
    }
    let mut canonical = String::with_capacity(text.value.len());
    for piece in pieces(&text.value) {
        match piece {
            Piece::Plain(plain) => canonical.push_str(plain),
            Piece::Expression(Some(expression), ..) if stands.allows(&expression) => {
                canonical.push_str(&expression.canonical());
            }
            Piece::Expression(read, written, at) => {
                let span = inside(findings, text, at);
                let message = match read {
                    Some(_) => format!("{} cannot stand here", quoted(written)),
                    None => format!("{} is no expression of this format", quoted(written)),
                };
                let problem = findings.at(Code::Expression, span, message);
                findings.push(problem.label("here").help(stands.takes()));
            }
        }
    }
    canonical
}

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

/// Reports `${{ … }}` where nothing is replaced.
pub(super) fn refuse_expression(text: &Spanned<String>, findings: &mut Findings) {
    expressions(text, Stands::Plain, findings);
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
        let problem = findings.at(Code::WrongValue, text.span, "a NUL character cannot stand here");
        findings.push(problem.help("remove it: no variable, argument or path can hold one"));
    }
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_read_in_any_spacing_and_nothing_else_does() {
        for (text, expected) in [
            ("workspace.path", Some(Expression::Workspace)),
            ("  task.prompt  ", Some(Expression::Prompt)),
            ("secrets.a-1.placeholder", Some(Expression::Secret { name: "a-1", last20: false })),
            ("secrets.a.placeholder.last20", Some(Expression::Secret { name: "a", last20: true })),
            ("secrets.a", None),
            ("secrets..placeholder", None),
            ("secrets.A.placeholder", None),
            ("secrets.a.value", None),
            ("workspace", None),
            ("env.HOME", None),
            ("", None),
        ] {
            assert_eq!(Expression::read(text), expected, "{text:?}");
        }
        assert_eq!(
            secrets_named("a ${{secrets.x.placeholder}} ${{ secrets.y.placeholder.last20 }} ${{"),
            ["x", "y"]
        );
    }
}
