//! What is wrong with a file: one finding with its place, its reason and its fix.
//!
//! The home of miette's labels. Findings end on terminals and a repository's files are written by agents, so
//! whatever is quoted from a file passes through [`quoted`] or [`Source`], and every text of a finding is made visible
//! once more when it is put in.

use std::{fmt, path::Path};

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode, SourceSpan};
use serde_json::{Value, json};

use super::elsewhere::GitSource;
pub use super::source::Source;
use crate::model::text::visible;

/// Longest quotation from a file, in characters.
const QUOTED_MAX: usize = 60;
/// Most lines that are drawn of a place; of a longer one the first is.
const DRAWN_MAX: usize = 6;

/// Longest path that the kernel takes, in bytes (`PATH_MAX` of linux/limits.h): no longer one names a folder.
const PATH_MAX: usize = 4096;

/// A place in a file: a byte range, and the line and column (in characters, both from 1) where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Characters that a terminal obeys or that make a text look like another one: those that YAML forbids, and
/// the bidirectional controls (CVE-2021-42574).
pub(super) fn is_unprintable(sign: char) -> bool {
    match sign {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => sign.is_control(),
    }
}

/// `text` with line breaks and whatever a terminal obeys made visible.
pub(super) fn escaped(text: &str) -> String {
    visible(text).into_owned()
}

/// A word of the file between backquotes, shortened and made visible.
pub(super) fn quoted(text: &str) -> String {
    quoted_to(text, QUOTED_MAX)
}

/// A path between backquotes, made visible and whole, since half a path leads nobody to the folder.
pub(super) fn quoted_path(path: &Path) -> String {
    quoted_to(&path.to_string_lossy(), PATH_MAX)
}

fn quoted_to(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((cut, _)) => format!("`{}…`", escaped(&text[..cut])),
        None => format!("`{}`", escaped(text)),
    }
}

/// One stable word per sort of finding, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Not UTF-8, or characters that YAML forbids.
    Encoding,
    /// Longer, deeper or more than the bounds allow.
    TooLarge,
    /// Not YAML.
    Syntax,
    /// Anchors, tags, merge keys: YAML that this format leaves out.
    YamlFeature,
    /// A number that readers of YAML 1.1 and 1.2 read differently.
    AmbiguousNumber,
    /// A key twice in one mapping.
    DuplicateKey,
    /// Not one of our documents.
    ForeignDocument,
    /// A key that the format does not have.
    UnknownKey,
    /// A key that must be there.
    MissingKey,
    /// Text where a list is needed, and the like.
    WrongType,
    /// A value that the format does not allow there.
    WrongValue,
    /// Part of the format that this version does not carry out.
    NotAvailable,
    /// Two documents of one kind and name.
    DuplicateName,
    /// A name that nothing defines.
    UnknownName,
    /// A host pattern that does not read.
    Pattern,
    /// A port whose protocol must be written.
    Protocol,
    /// A path that is not there, or is not a folder, or leads where it may not.
    Path,
    /// Two mounts in each other's way.
    Overlap,
    /// A secret that no rule lets reach its host, or whose source stands in a repository.
    Secret,
    /// A registry that nothing on this host knows.
    Registry,
    /// `sandbox.lock` is wrong, or says something else than is.
    Lock,
    /// `${{ … }}` that cannot stand there, or says nothing.
    Expression,
    /// A file to put in that cannot be read, or is not what it must be.
    File,
    /// A port twice.
    Port,
    /// Two mixins that differ.
    Clash,
    /// What a kit has locked is set.
    Locked,
    /// A kit's argument that is missing, unknown, or not of its form.
    Argument,
    /// A kit that cannot be used here, or extends itself.
    Kit,
    /// A rule that can never match, or that matches more than its author can mean.
    Rule,
    /// Worth knowing; nothing is wrong.
    Note,
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Encoding => "kit::encoding",
            Self::TooLarge => "kit::too_large",
            Self::Syntax => "kit::syntax",
            Self::YamlFeature => "kit::yaml_feature",
            Self::AmbiguousNumber => "kit::ambiguous_number",
            Self::DuplicateKey => "kit::duplicate_key",
            Self::ForeignDocument => "kit::foreign_document",
            Self::UnknownKey => "kit::unknown_key",
            Self::MissingKey => "kit::missing_key",
            Self::WrongType => "kit::wrong_type",
            Self::WrongValue => "kit::wrong_value",
            Self::NotAvailable => "kit::not_available",
            Self::DuplicateName => "kit::duplicate_name",
            Self::UnknownName => "kit::unknown_name",
            Self::Pattern => "kit::pattern",
            Self::Protocol => "kit::protocol",
            Self::Path => "kit::path",
            Self::Overlap => "kit::overlap",
            Self::Secret => "kit::secret",
            Self::Registry => "kit::registry",
            Self::Lock => "kit::lock",
            Self::Expression => "kit::expression",
            Self::File => "kit::file",
            Self::Port => "kit::port",
            Self::Clash => "kit::clash",
            Self::Locked => "kit::locked",
            Self::Argument => "kit::argument",
            Self::Kit => "kit::kit",
            Self::Rule => "kit::rule",
            Self::Note => "kit::note",
        })
    }
}

/// What only the host can say or bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What this registry is here.
    Registry(String),
    /// What this names, and the archive of it.
    Kit(Box<GitSource>),
}

/// One finding. Renders with its place through miette, prints as its message alone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Its sort.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to write under the place.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Whether it only informs.
    pub warning: bool,
    /// What the host has to say or to bring before this can be judged.
    pub wants: Option<Wanted>,
    pub(super) source_text: Source,
    pub(super) span: Span,
}

impl Problem {
    /// A finding at a place.
    #[must_use]
    pub fn new(code: Code, source: &Source, span: Span, message: impl Into<String>) -> Self {
        let (source_text, span) = source.told(span);
        Self {
            code,
            message: escaped(&message.into()),
            label: None,
            help: None,
            warning: false,
            wants: None,
            source_text,
            span,
        }
    }

    /// As what was found in this text, which is the same as the one that it was found in.
    #[must_use]
    pub fn found_in(mut self, source: &Source) -> Self {
        (self.source_text, self.span) = source.told(self.span);
        self
    }

    /// With a word under the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(escaped(&label.into()));
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(escaped(&help.into()));
        self
    }

    /// As a piece of information.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.warning = true;
        self
    }

    /// The file, as its user knows it.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source_text.name()
    }

    /// Line in the file, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.span.line
    }

    /// Column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.span.column
    }

    /// The object that `--output json` prints.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "code": self.code.to_string(),
            "kind": if self.warning { "warning" } else { "invalidFile" },
            "message": self.message,
            "file": self.file(),
            "line": self.line(),
            "column": self.column(),
            "hint": self.help,
        })
    }

    /// One line for terminals and logs: `file:line:column: message (help)`.
    #[must_use]
    pub fn to_line(&self) -> String {
        let help = self.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{}:{}: {}{help}", self.file(), self.line(), self.column(), self.message)
    }
}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(if self.warning { Severity::Warning } else { Severity::Error })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source_text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.source_text.slice(self.span);
        let drawn = match place.match_indices('\n').nth(DRAWN_MAX) {
            Some(_) => place.find('\n').unwrap_or_default(),
            None => self.span.end.saturating_sub(self.span.start) as usize,
        };
        let span = SourceSpan::new((self.span.start as usize).into(), drawn);
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(self.label.clone(), span))))
    }
}
