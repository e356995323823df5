//! Standard output is data, standard error is talk. Everything that a guest or a file brought is made visible
//! before a terminal sees it.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;

use super::failure::Failure;
use crate::model::text::drives;
pub use crate::model::text::{visible, visible_lines};

/// The form of data and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; stable.
    Json,
}

/// The forms of a report. The first two are every command's, the others `plan`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs; stable.
    Json,
    /// For a comment on a pull request.
    Md,
    /// For code scanners.
    Sarif,
    /// For the log of a workflow.
    Github,
}

impl Form {
    /// The form of talk and errors beside it.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Text | Self::Md | Self::Github => Format::Text,
            Self::Json | Self::Sarif => Format::Json,
        }
    }

    /// Whether every command has it.
    #[must_use]
    pub const fn is_common(self) -> bool {
        matches!(self, Self::Text | Self::Json)
    }
}

/// Where a command's data and talk go.
pub struct Output {
    /// The form of data and errors.
    pub format: Format,
    data: RefCell<Box<dyn Write>>,
    talk: RefCell<Box<dyn Write>>,
}

impl Output {
    /// The process's own streams.
    #[must_use]
    pub fn standard(format: Format) -> Self {
        Self::to(format, io::stdout(), io::stderr())
    }

    /// Other streams.
    #[must_use]
    pub fn to(format: Format, data: impl Write + 'static, talk: impl Write + 'static) -> Self {
        Self { format, data: RefCell::new(Box::new(data)), talk: RefCell::new(Box::new(talk)) }
    }

    /// Whether to draw progress: only for a person who reads text on a terminal.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        self.format == Format::Text && io::stderr().is_terminal()
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut data = self.data.borrow_mut();
        data.write_all(bytes).and_then(|()| data.flush()).map_err(|error| closed(&error))
    }

    /// Writes data: `text` for people, `value` for programs.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn data<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.raw(text().as_bytes()),
            Format::Json => self.raw(json_text(value, true).as_bytes()),
        }
    }

    /// Writes one object of a sequence: a line of text, or a line of JSON.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn item<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.raw(text().as_bytes()),
            Format::Json => self.raw(json_text(value, false).as_bytes()),
        }
    }

    /// One line for the person; nothing for a program that reads JSON, which has everything in the data.
    /// Whether standard error takes it does not matter to the outcome.
    pub fn say(&self, line: impl AsRef<str>) {
        if self.format == Format::Text {
            let _ = writeln!(self.talk.borrow_mut(), "{}", visible_lines(line.as_ref()));
        }
    }

    /// Reports a failure.
    pub fn fail(&self, failure: &Failure) {
        if let Some(text) = failure.render(self.format) {
            let _ = self.talk.borrow_mut().write_all(text.as_bytes());
        }
    }
}

fn closed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::output_closed();
    }
    let message = "standard output does not take the result";
    Failure::new(super::failure::Kind::Failed, "output_failed", message).caused_by(error)
}

/// A line of talk before there is an [`Output`]: what is odd about the surroundings.
pub fn warn(line: &str) {
    let _ = writeln!(io::stderr(), "{}", visible(line));
}

/// `value` as JSON with a newline, pretty or on one line. Characters that drive a terminal are escaped, which JSON
/// itself asks only for the first 32.
#[must_use]
pub fn json_text<T: Serialize>(value: &T, pretty: bool) -> String {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.expect("types of the output have string keys and no failing serialiser");
    let mut escaped = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        // Below U+0020 the serialiser has escaped what is inside strings; what is left is its own layout.
        if drives(character) && character >= ' ' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped.push('\n');
    escaped
}

/// Widest column, in characters. Rust's formatting panics beyond 65,535, and no screen has as many.
const WIDTH_MAX: usize = 1000;

/// Rows under a heading, in columns as wide as their widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    #[must_use]
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row; cells are made visible here.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.rows.push(cells.into_iter().map(|cell| visible(cell).into_owned()).collect());
    }

    /// The table's lines. A cell that is longer than the widest column stands out of its row.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .filter(|width| *width <= WIDTH_MAX)
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_any_length_is_a_table() {
        let mut table = Table::new(&["RULE", "WHY"]);
        table.row(["x".repeat(70_000).as_str(), "long"]);
        table.row(["short", "why"]);
        let text = table.render();
        assert!(text.contains("x  long\n") && text.ends_with("\nshort  why\n"), "{}", &text[..40]);
    }

    #[test]
    fn hostile_text_is_shown_not_obeyed() {
        for (text, shown) in [
            ("plain ünïcode", "plain ünïcode"),
            ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("x\u{e0041}", "x\\u{e0041}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\r"), "a\nb\\r");
    }

    #[test]
    fn json_stays_json_and_cannot_drive_a_terminal() {
        let text = json_text(&"\u{1b}\u{9b}\u{202e}\u{e0041}ü", false);
        assert!(!text.trim_end().chars().any(drives), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "\u{1b}\u{9b}\u{202e}\u{e0041}ü");
    }

    #[test]
    fn tables_align_and_leave_no_trailing_space() {
        let mut table = Table::new(&["NAME", "PHASE"]);
        table.row(["dev", "running"]);
        table.row(["longer-name", ""]);
        assert_eq!(table.render(), "NAME         PHASE\ndev          running\nlonger-name\n");
    }

    #[test]
    fn a_closed_reader_is_quiet() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failure = Output::to(Format::Text, Closed, io::sink()).raw(b"x").unwrap_err();
        assert_eq!(failure.render(Format::Text), None);
        assert_eq!(failure.render(Format::Json), None);
    }
}
