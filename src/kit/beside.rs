//! Files that change sandboxes without being named: `sandbox.local.yaml` beside a file, and the user's own mixin beside
//! the operator's configuration.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use super::{
    Context,
    discover::{DiscoverError, LOCAL_FILE, SourceFile, Unread},
    document::{AnyDocument, Read, read, read_local},
    findings::Findings,
    near::listed,
    parse::FILE_MAX,
    problem::{Code, Problem, Source, Span},
    schema::SchemaName,
};

/// The user's own mixin.
const USER_FILE: &str = "sandbox.yaml";

/// A file that was read, and what it says.
pub(super) struct Beside {
    pub(super) file: SourceFile,
    pub(super) read: Read,
}

/// All of them.
#[derive(Default)]
pub(super) struct BesideAll {
    /// Local files, by the folder that they lie in.
    pub(super) locals: HashMap<PathBuf, Beside>,
    pub(super) user: Option<Beside>,
}

impl BesideAll {
    /// Looks for them beside the files that were read.
    pub(super) fn find(files: &[SourceFile], context: &Context) -> Result<Self, DiscoverError> {
        let mut all = Self::default();
        for file in files {
            let folder = file.folder();
            if file.is_standard_input() || all.locals.contains_key(folder) {
                continue;
            }
            if let Some(local) = local(file)? {
                all.locals.insert(folder.to_owned(), local);
            }
        }
        // What a person keeps beside the configuration is in no commit; a local file may be, and then it changes what
        // whoever checks it out gets.
        if context.tree.is_none()
            && let Some(folder) = &context.user_folder
            && !files.iter().any(|file| file.folder() == folder)
        {
            all.user = user(&folder.join(USER_FILE))?;
        }
        Ok(all)
    }
}

fn local(file: &SourceFile) -> Result<Option<Beside>, DiscoverError> {
    let folder = file.folder();
    let path = folder.join(LOCAL_FILE);
    let below = folder.strip_prefix(&file.base).unwrap_or(Path::new(""));
    let bytes = match file.beside(&below.join(LOCAL_FILE), FILE_MAX) {
        Ok(bytes) => bytes,
        Err(Unread::NotThere) => return Ok(None),
        Err(Unread::Refused(reason)) => return Err(DiscoverError::Refused { path, reason }),
    };
    let name = Path::new(&file.name).with_file_name(LOCAL_FILE).to_string_lossy().into_owned();
    let mut read = read_local(&name, &bytes);
    refuse(&mut read, "sandbox.local.yaml holds documents of kind Sandbox only", |document| {
        !matches!(document, AnyDocument::Sandbox(_))
    });
    let tree = file.tree.clone();
    let file =
        SourceFile { bytes: Vec::new(), tree, ..SourceFile::new(&name, path, &file.base, bytes, None) };
    Ok(Some(Beside { file, read }))
}

/// A person's own configuration may lie behind links, as it does for whoever keeps it in a repository.
fn user(path: &Path) -> Result<Option<Beside>, DiscoverError> {
    let refused = |reason: String| DiscoverError::Refused { path: path.to_owned(), reason };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(refused(io::Error::from(error).to_string())),
    };
    let mut bytes = Vec::new();
    let found = file.metadata().map_err(|error| refused(error.to_string()))?;
    if !found.is_file() || found.len() > FILE_MAX as u64 {
        return Err(refused(format!("it is no regular file of at most {} MiB", FILE_MAX >> 20)));
    }
    file.take(FILE_MAX as u64).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    let name = path.to_string_lossy().into_owned();
    let mut read = read(&name, &bytes);
    refuse(
        &mut read,
        "beside the configuration, sandbox.yaml holds one document of kind Mixin",
        |document| !matches!(document, AnyDocument::Kit(kit) if kit.kind == SchemaName::Mixin),
    );
    let base = path.parent().unwrap_or(Path::new("/"));
    let file = SourceFile::new(&name, path.to_owned(), base, Vec::new(), None);
    Ok(Some(Beside { file, read }))
}

/// Reports documents that have no place in such a file, and takes them out.
fn refuse(read: &mut Read, message: &str, wrong: impl Fn(&AnyDocument) -> bool) {
    let mut kept = Vec::new();
    for document in std::mem::take(&mut read.documents) {
        if wrong(&document) {
            let span = document.identity().map_or(Span::default(), |(_, _, span)| span);
            read.findings.push(read.findings.at(Code::WrongValue, span, message).help("remove the document"));
        } else {
            kept.push(document);
        }
    }
    read.documents = kept;
}

/// Reports what a local file says about sandboxes that the files beside it do not describe.
pub(super) fn refuse_strangers(local: &mut Beside, known: &[String]) {
    let Read { documents, findings, .. } = &mut local.read;
    let names: HashSet<&str> = known.iter().map(String::as_str).collect();
    for document in documents.iter() {
        let Some((_, name, span)) = document.identity() else { continue };
        if !names.contains(name) && !findings.is_full() {
            push_stranger(findings, name, span, known);
        }
    }
}

fn push_stranger(findings: &mut Findings, name: &str, span: Span, known: &[String]) {
    let message = format!("no file beside this one describes a sandbox {}", super::problem::quoted(name));
    let known = match known {
        [] => "there is none".to_owned(),
        known => format!("known here: {}", listed(known.iter().map(String::as_str))),
    };
    findings.push(findings.at(Code::UnknownName, span, message).help(known));
}

/// In the order of files, then of places in them; each once.
pub(super) fn sorted(mut problems: Vec<Problem>, files: &[SourceFile]) -> Vec<Problem> {
    let order: HashMap<&str, usize> =
        files.iter().enumerate().map(|(index, file)| (file.name.as_str(), index)).collect();
    let rank = |source: &Source| order.get(source.name()).copied().unwrap_or(usize::MAX);
    problems.sort_by(|a, b| {
        let key = |problem: &Problem| (rank(&problem.source_text), problem.span.start);
        key(a).cmp(&key(b)).then_with(|| match rank(&a.source_text) {
            usize::MAX => a.source_text.name().cmp(b.source_text.name()),
            _ => std::cmp::Ordering::Equal,
        })
    });
    let same = |a: &mut Problem, b: &mut Problem| {
        (a.span, &a.message, a.source_text.name()) == (b.span, &b.message, b.source_text.name())
    };
    problems.dedup_by(same);
    problems
}
