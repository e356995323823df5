//! Where a document stands: names for its lines, and files that lie around it.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use super::text;
use crate::{
    kit::{
        Context,
        discover::{SourceFile, Unread},
        findings::Findings,
        merge::{At, Placed},
        problem::{Code, Source, Span, quoted},
        sets::Sets,
        spanned::Spanned,
        typed::line_of,
    },
    model::rule::{Layer, Origin},
};

/// Largest file that is put into a sandbox, in bytes.
pub(super) const SOURCE_MAX: usize = 1 << 20;
/// Most bytes of such files that one load reads: 10,000 documents must not fill the host's memory.
pub(in crate::kit) const LOAD_MAX: usize = 64 << 20;
/// Most bytes that the archives of one load hold: two of the largest.
const ARCHIVES_MAX: usize = 128 << 20;
/// Most bytes that all sandboxes of one load hold: 10,000 of them with 150 rules each.
const SANDBOXES_MAX: usize = 128 << 20;

/// How many bytes may still be read, or be made of what was read, in this load.
#[derive(Debug)]
pub(in crate::kit) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(LOAD_MAX))
    }
}

impl Budget {
    /// For the archives of a load.
    pub(in crate::kit) fn of_archives() -> Self {
        Self(Cell::new(ARCHIVES_MAX))
    }

    /// For what all sandboxes of a load hold together.
    pub(in crate::kit) fn of_sandboxes() -> Self {
        Self(Cell::new(SANDBOXES_MAX))
    }

    /// How many bytes are left.
    pub(in crate::kit) fn left(&self) -> usize {
        self.0.get()
    }

    /// Whether so many bytes were left.
    pub(in crate::kit) fn take(&self, bytes: usize) -> bool {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.unwrap_or_default());
        left.is_some()
    }
}

/// Where a document stands, and what it may name.
#[derive(Clone, Copy)]
pub(in crate::kit) struct Here<'a> {
    /// The file, as policy and audit will show it.
    pub(in crate::kit) name: &'a str,
    /// The text, where it was made of another one: places are told as they are in that one.
    pub(in crate::kit) source: Option<&'a Source>,
    /// The file on disk and what surrounds it; a built-in kit has neither.
    pub(in crate::kit) file: Option<(&'a SourceFile, &'a Context)>,
    /// What named sets mean, services among them.
    pub(in crate::kit) sets: Sets<'a>,
    pub(in crate::kit) budget: &'a Budget,
    /// Whose file it is.
    pub(in crate::kit) layer: Layer,
}

impl Here<'_> {
    /// The origin of something in the file.
    pub(super) fn origin(&self, span: Span) -> Origin {
        let line = self.source.map_or(span, |source| source.told(span).1).line;
        Origin { layer: self.layer, file: Some(self.name.to_owned()), line: line_of(self.name, line) }
    }

    /// A place in this file.
    pub(super) fn at(&self, span: Span, findings: &Findings) -> At {
        At { source: findings.source().clone(), span, layer: self.layer }
    }

    /// A value of this file.
    pub(super) fn placed<T>(&self, value: T, span: Span, findings: &Findings) -> Placed<T> {
        Placed { value, at: self.at(span, findings) }
    }

    /// A path that a document names, from the repository's root; none where the document has no place.
    pub(super) fn place(&self, relative: &Path) -> Option<PathBuf> {
        let (file, _) = self.file?;
        Some(file.folder().strip_prefix(&file.base).unwrap_or(Path::new("")).join(relative))
    }

    /// The bytes of a file that a document names, of at most `max`.
    pub(super) fn read(
        &self,
        path: &Spanned<String>,
        max: usize,
        findings: &mut Findings,
    ) -> Option<Vec<u8>> {
        text::refuse_expression(path, findings);
        let mut refuse = |message: String, help: &str| {
            findings.push(findings.at(Code::File, path.span, message).label("not read").help(help));
            None
        };
        let Some((file, _)) = self.file else {
            return refuse("a built-in kit has no files beside it".to_owned(), "write `content`");
        };
        let relative = Path::new(path.as_str());
        if path.is_empty() || relative.is_absolute() || path.starts_with('~') || path.contains('\0') {
            let message = format!("{} is not a path inside of this repository", quoted(path));
            return refuse(message, "write a path from this file's folder: ./settings.json");
        }
        match file.beside(&self.place(relative)?, max) {
            Ok(bytes) if self.budget.take(bytes.len()) => Some(bytes),
            Ok(_) => {
                let message =
                    format!("files of all sandboxes hold more than {} MiB together", LOAD_MAX >> 20);
                refuse(message, "check fewer files at once, or fetch large files by a step of `setup.create`")
            }
            Err(Unread::NotThere) => refuse(
                format!("{} is not there", quoted(path)),
                "correct the path; it begins at this file's folder",
            ),
            Err(Unread::Refused(reason)) => {
                refuse(format!("{}: {reason}", quoted(path)), "name a regular file of this repository")
            }
        }
    }
}
