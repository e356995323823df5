//! Failures as text: the source line and its label where there is one.

use std::{error::Error, fmt::Write as _};

use miette::{Diagnostic, SourceCode, SourceSpan};

use super::ErrorObject;
use crate::{
    cli::output::{visible, visible_lines},
    model::text::counted,
};

/// Longest line of a file that is drawn, in bytes. Nobody reads a longer one, and miette's padding, which Rust's
/// formatting bounds at 65,535, panics.
const LINE_MAX: usize = 2000;

pub(super) fn render_plain(object: &ErrorObject) -> String {
    let mut text = format!("error: {}\n", visible_lines(&object.message));
    if let Some(file) = &object.file {
        let _ = write!(text, "  at {}", visible(file));
        for number in [object.line, object.column].into_iter().flatten() {
            let _ = write!(text, ":{number}");
        }
        text.push('\n');
    }
    for cause in &object.causes {
        let _ = writeln!(text, "  because: {}", visible_lines(cause));
    }
    if let Some(hint) = &object.hint {
        let _ = writeln!(text, "hint: {}", visible_lines(hint));
    }
    text
}

/// Drawn without colour, so that every escape sequence in the result is one that a file brought, and is shown.
pub(super) fn render_diagnostic(diagnostic: &(dyn Diagnostic + Send + Sync)) -> String {
    if let Some(rest) = diagnostic.related() {
        let mut text = String::new();
        for each in rest {
            let _ = render_one(each, &mut text);
        }
        return visible_lines(&text).into_owned();
    }
    let mut text = String::new();
    let _ = render_one(diagnostic, &mut text);
    visible_lines(&text).into_owned()
}

/// Without the number that the standard library puts behind what the system says: it helps nobody.
pub(super) fn without_number(text: String) -> String {
    let Some((said, rest)) = text.split_once(" (os error ") else { return text };
    match rest.split_once(')') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("{said}{rest}"),
        _ => text,
    }
}

/// The last line under several findings in files: how many, and where.
pub(super) fn count(object: &ErrorObject) -> String {
    let all = std::iter::once(object).chain(&object.problems);
    let places: Vec<&str> = all.filter_map(|object| object.file.as_deref()).collect();
    let files: std::collections::BTreeSet<&str> = places.iter().copied().collect();
    match (places.len(), files.len()) {
        (0 | 1, _) => String::new(),
        (found, 1) => format!("error: {} in {}\n", counted(found, "problem"), visible(places[0])),
        (found, files) => format!("error: {} in {}\n", counted(found, "problem"), counted(files, "file")),
    }
}

fn render_one(diagnostic: &dyn Diagnostic, text: &mut String) -> std::fmt::Result {
    let Some(source) = diagnostic.source_code() else {
        return writeln!(text, "{}", diagnostic.to_string().trim_end());
    };
    let spans = || diagnostic.labels().into_iter().flatten().map(|label| *label.inner());
    let fits = |span: &SourceSpan| {
        let shown = source.read_span(span, 1, 1);
        shown.is_ok_and(|shown| shown.data().split(|byte| *byte == b'\n').all(|line| line.len() <= LINE_MAX))
    };
    if !spans().all(|span| fits(&span)) {
        return render_place(diagnostic, source, spans().next(), text);
    }
    let theme = miette::GraphicalTheme::unicode_nocolor();
    miette::GraphicalReportHandler::new_themed(theme).with_width(100).render_report(text, diagnostic)
}

/// The finding with its place in figures, where the line is too long to be drawn.
fn render_place(
    diagnostic: &dyn Diagnostic,
    source: &dyn SourceCode,
    span: Option<SourceSpan>,
    text: &mut String,
) -> std::fmt::Result {
    if let Some(place) = span.and_then(|span| source.read_span(&span, 0, 0).ok()) {
        write!(text, "{}:{}:{}: ", place.name().unwrap_or_default(), place.line() + 1, place.column() + 1)?;
    }
    writeln!(text, "{diagnostic}")?;
    diagnostic.help().map_or(Ok(()), |help| writeln!(text, "  help: {help}"))
}

/// Several diagnostics as one; rendered one after the other.
#[derive(Debug)]
pub(super) struct Several {
    pub(super) main: Box<dyn Diagnostic + Send + Sync>,
    pub(super) rest: Vec<Box<dyn Diagnostic + Send + Sync>>,
}

impl std::fmt::Display for Several {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.main.fmt(formatter)
    }
}

impl Error for Several {}

impl Diagnostic for Several {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let all = std::iter::once(&self.main).chain(&self.rest);
        Some(Box::new(all.map(|each| each.as_ref() as &dyn Diagnostic)))
    }
}

/// A failure without source text among others that have it.
#[derive(Debug)]
pub(super) struct Plain(pub(super) String);

impl std::fmt::Display for Plain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Plain {}
impl Diagnostic for Plain {}
