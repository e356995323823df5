//! Where a document stands: names for its lines, and files that lie around it.

use std::{cell::Cell, path::Path};

use super::text;
use crate::{
    kit::{
        discover::{SourceFile, read_beneath},
        findings::Findings,
        problem::{Code, quoted},
        spanned::Spanned,
    },
    model::rule::{Layer, Origin},
};

/// Largest file that is put into a sandbox, in bytes.
pub(super) const SOURCE_MAX: usize = 1 << 20;
/// Most bytes of such files that one load reads: 10,000 documents must not fill the host's memory.
const LOAD_MAX: usize = 64 << 20;

/// What may still be read in this load.
#[derive(Debug)]
pub(in crate::kit) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(LOAD_MAX))
    }
}

/// Where a document stands.
#[derive(Clone, Copy)]
pub(in crate::kit) struct Here<'a> {
    /// The file, as policy and audit will show it.
    pub(in crate::kit) name: &'a str,
    /// The file on disk; a built-in kit has none.
    pub(in crate::kit) file: Option<&'a SourceFile>,
    pub(in crate::kit) budget: &'a Budget,
}

impl Here<'_> {
    /// The origin of something on a line of the file.
    pub(super) fn origin(&self, line: u32) -> Origin {
        Origin { layer: Layer::Repository, file: Some(self.name.to_owned()), line: Some(line) }
    }

    /// The bytes of a file that a document names.
    pub(super) fn read(&self, path: &Spanned<String>, findings: &mut Findings) -> Option<Vec<u8>> {
        text::refuse_expression(path, findings);
        let mut refuse = |message: String, help: &str| {
            findings.push(findings.at(Code::File, path.span, message).label("not read").help(help));
            None
        };
        let Some(file) = self.file else {
            return refuse("a built-in kit has no files beside it".to_owned(), "write `content`");
        };
        let relative = Path::new(path.as_str());
        if path.is_empty() || relative.is_absolute() || path.starts_with('~') || path.contains('\0') {
            let message = format!("{} is not a path inside of this repository", quoted(path));
            return refuse(message, "write a path from this file's folder: ./settings.json");
        }
        let folder = file.path.parent().unwrap_or(&file.base);
        let below = folder.strip_prefix(&file.base).unwrap_or(Path::new(""));
        match read_beneath(&file.base, &below.join(relative), SOURCE_MAX) {
            Ok(bytes) if bytes.len() <= self.budget.0.get() => {
                self.budget.0.set(self.budget.0.get() - bytes.len());
                Some(bytes)
            }
            Ok(_) => {
                let message =
                    format!("files of all sandboxes hold more than {} MiB together", LOAD_MAX >> 20);
                refuse(message, "check fewer files at once, or fetch large files by a step of `setup.create`")
            }
            Err(reason) => {
                refuse(format!("{}: {reason}", quoted(path)), "name a regular file of this repository")
            }
        }
    }
}
