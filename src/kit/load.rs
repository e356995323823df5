//! The whole way: find, read, check, resolve; everything that is wrong is reported at once.

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    path::{Path, PathBuf},
};

use super::{
    beside::{self, Beside, BesideAll},
    builtin,
    discover::{DiscoverError, Discovered, Selection, Snapshot, SourceFile, discover},
    document::{AnyDocument, Read, read},
    elsewhere::{Elsewhere, GitSource, Pin},
    lock::{self, Lock},
    parse,
    problem::{Code, Problem, quoted},
    repository::Repository,
    resolve::{Budget, Services, service},
    sets::Facts,
    shelf::Shelf,
    stack::Stack,
    tree::Node,
};
use crate::model::{
    desired::Sandbox,
    registry::{Lookup, Registries, Registry},
    rule::Layer,
    unit::Bytes,
};

/// What surrounds the files. The program reads it; this module reads no environment and no clock.
#[derive(Debug, Clone)]
pub struct Context {
    /// Working directory, absolute.
    pub folder: PathBuf,
    /// The user's home: what `~/` means.
    pub home: PathBuf,
    /// Memory of a sandbox that says nothing about it: half of the host's, up to 4 GiB.
    pub default_memory: Bytes,
    /// Folder of the operator's configuration: the user's own mixin lies there, and the user's kits.
    pub user_folder: Option<PathBuf>,
    /// Registries that were looked up.
    pub registries: Registries,
    /// What `sandbox.lock` is for.
    pub lock: LockUse,
    /// Kits from elsewhere.
    pub elsewhere: Elsewhere,
    /// The commit that files are read from, in place of those on disk; `load` sets it.
    pub tree: Option<Snapshot>,
}

/// What `sandbox.lock` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LockUse {
    /// What it pins is used; what it lacks is resolved.
    #[default]
    Prefer,
    /// Only what it pins is used (`--locked`).
    Only,
    /// It is not looked at: everything is resolved anew (`update`).
    Ignore,
}

/// What the files say.
#[derive(Debug)]
pub struct Loaded {
    /// The sandboxes, in the order of files and documents.
    pub sandboxes: Vec<Sandbox>,
    /// What their author should know.
    pub warnings: Vec<Problem>,
    /// The repository that they lie in.
    pub repository: Option<Repository>,
    /// Its root; outside of a repository the folder that stands for it.
    pub base: PathBuf,
    /// Where their lock file lies or would lie; none for standard input.
    pub lock_path: Option<PathBuf>,
    /// What it says; none where there is none, or where it was to be ignored and is damaged.
    pub lock: Option<Lock>,
    /// The registries that rules came from, as this host has them.
    pub registries: BTreeMap<String, Registry>,
    /// The sources of kits that were used, and what they were pinned to.
    pub sources: BTreeMap<GitSource, Pin>,
    /// The files `sandbox.local.yaml` that were read, absolute.
    pub local_files: Vec<PathBuf>,
}

/// What documents say.
pub(super) struct Said {
    pub(super) sandboxes: Vec<Sandbox>,
    pub(super) warnings: Vec<Problem>,
    pub(super) sources: BTreeMap<GitSource, Pin>,
}

/// Why files yield nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They could not be found or read.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// They hold no document at all.
    #[error(
        "no document in {place}: a sandbox begins with `apiVersion: cofferdam.dev/v1alpha1` and `kind: Sandbox`"
    )]
    NoDocument {
        /// The file, or how many files, that were read.
        place: String,
    },
    /// They are wrong.
    #[error("{}", summary(.0))]
    Invalid(Vec<Problem>),
}

fn summary(problems: &[Problem]) -> String {
    match problems {
        [only] => only.to_string(),
        [first, ..] => format!("{first} (and {} more)", problems.len() - 1),
        [] => "the files are wrong".to_owned(),
    }
}

/// Loads what `selection` names.
///
/// # Errors
/// That nothing was found, or everything that is wrong with what was.
pub fn load(selection: Selection, context: &Context) -> Result<Loaded, LoadError> {
    let own;
    let context = match &selection {
        Selection::Tree(snapshot) => {
            own = Context { tree: Some(snapshot.clone()), ..context.clone() };
            &own
        }
        _ => context,
    };
    let found = discover(selection, &context.folder)?;
    let lock = match found.lock.as_ref().map(|file| lock::read(&file.name, &file.bytes)) {
        Some(Ok(lock)) => Some(lock),
        Some(Err(problems)) if context.lock != LockUse::Ignore => return Err(LoadError::Invalid(problems)),
        _ => None,
    };
    let used = lock.as_ref().filter(|_| context.lock != LockUse::Ignore);
    let beside = BesideAll::find(&found.files, context)?;
    let mut local_files: Vec<_> = beside.locals.values().map(|local| local.file.path.clone()).collect();
    local_files.sort();
    let Said { mut sandboxes, mut warnings, sources } = check(&found.files, beside, used, context)?;
    if context.lock != LockUse::Ignore {
        let unpinned = lock::pin_packages(&mut sandboxes, found.lock.as_ref(), used);
        if context.lock == LockUse::Only && !unpinned.is_empty() {
            return Err(LoadError::Invalid(unpinned));
        }
        let uses = sandboxes.iter().flat_map(|sandbox| &sandbox.kits);
        let differing = lock::differing_kits(uses, found.lock.as_ref(), used);
        match context.lock {
            LockUse::Only if !differing.is_empty() => return Err(LoadError::Invalid(differing)),
            // Without a lock file nothing was pinned, and nothing differs.
            _ if found.lock.is_some() => warnings.extend(differing.into_iter().map(Problem::as_warning)),
            _ => {}
        }
    }
    let registries = registries(&sandboxes, &context.registries);
    let Discovered { repository, base, lock_path, .. } = found;
    Ok(Loaded { sandboxes, warnings, repository, base, lock_path, lock, registries, sources, local_files })
}

/// The lock file that belongs to a selection; none where there is none, or it is damaged.
///
/// # Errors
/// That the files cannot be found or read.
pub fn lock_beside(selection: &Selection, folder: &Path) -> Result<Option<Lock>, DiscoverError> {
    let file = discover(selection.clone(), folder)?.lock;
    Ok(file.and_then(|file| lock::read(&file.name, &file.bytes).ok()))
}

/// The registries that rules of the sandboxes name.
fn registries(sandboxes: &[Sandbox], known: &Registries) -> BTreeMap<String, Registry> {
    let rules = sandboxes.iter().flat_map(|sandbox| &sandbox.network.rules);
    let names = rules.filter_map(|rule| rule.set.as_deref()?.strip_prefix("registry:"));
    let found = |name: &str| match known.0.get(name) {
        Some(Lookup::Found(registry)) => Some((name.to_owned(), registry.clone())),
        _ => None,
    };
    names.filter_map(|name| found(name.strip_suffix("+publish").unwrap_or(name))).collect()
}

/// Checks files that were read.
pub(super) fn check(
    files: &[SourceFile],
    beside: BesideAll,
    lock: Option<&Lock>,
    context: &Context,
) -> Result<Said, LoadError> {
    let mut reads: Vec<Read> = files.iter().map(|file| read(&file.name, &file.bytes)).collect();
    let silent = reads.iter().all(|read| read.found == 0 && read.findings.errors() == 0);
    if silent {
        let place = match files {
            [only] => only.name.clone(),
            [] => "this folder".to_owned(),
            _ => format!("{} files", files.len()),
        };
        return Err(LoadError::NoDocument { place });
    }
    refuse_duplicates(&mut reads);
    let facts = Facts { registries: &context.registries, lock, locked: context.lock == LockUse::Only };
    let mut shelf = Shelf::new(context, facts);
    let BesideAll { mut locals, mut user } = beside;
    reads.iter_mut().for_each(|read| shelf.add_services(read));
    let mut kits = Vec::new();
    for (file, read) in files.iter().zip(&mut reads) {
        kits.extend(shelf.add_kits(read, file, Layer::Repository));
    }
    kits.into_iter().for_each(|id| shelf.check(id));
    let own = user.as_mut().and_then(|user| shelf.own(&mut user.read, &user.file));
    refuse_strangers(files, &reads, &mut locals);
    let budget = Budget::of_sandboxes();
    let mut stack = Stack { shelf: &mut shelf, context, locals: &mut locals, user: own, budget, full: false };
    let mut sandboxes = Vec::new();
    for (file, read) in files.iter().zip(&mut reads) {
        for document in &read.documents {
            match document {
                AnyDocument::Sandbox(document) => {
                    sandboxes.extend(stack.sandbox(document, file, &mut read.findings));
                }
                AnyDocument::OrgPolicy(document) => stack.policy(document, file, &mut read.findings),
                AnyDocument::Kit(_) | AnyDocument::Service(_) => {}
            }
        }
    }
    let beside = locals.into_values().chain(user).map(|beside| beside.read);
    let (mut problems, sources) = shelf.into_parts();
    for read in reads.into_iter().chain(beside) {
        let (errors, warnings) = read.findings.into_parts();
        problems.extend(errors.into_iter().chain(warnings));
    }
    let (warnings, errors): (Vec<_>, Vec<_>) =
        beside::sorted(problems, files).into_iter().partition(|problem| problem.warning);
    if errors.is_empty() {
        Ok(Said { sandboxes, warnings, sources })
    } else {
        Err(LoadError::Invalid(errors))
    }
}

/// Reports sandboxes of local files that no file beside them describes.
fn refuse_strangers(files: &[SourceFile], reads: &[Read], locals: &mut HashMap<PathBuf, Beside>) {
    for (folder, local) in locals {
        let near = files.iter().zip(reads).filter(|(file, _)| file.folder() == folder);
        let documents = near.flat_map(|(_, read)| &read.documents);
        let sandboxes = documents.filter(|document| matches!(document, AnyDocument::Sandbox(_)));
        let known: Vec<String> =
            sandboxes.filter_map(|document| Some(document.identity()?.1.to_owned())).collect();
        beside::refuse_strangers(local, &known);
    }
}

/// Reports two documents of one kind and name, wherever they stand, and services under a built-in name: a secret of that
/// name would go elsewhere. An agent under a built-in name is a fork; the nearer one counts.
fn refuse_duplicates(reads: &mut [Read]) {
    let mut first: HashMap<(&'static str, String), (String, u32)> = HashMap::new();
    for name in builtin::services().keys() {
        first.insert(("Service", name.clone()), ("the built-in services".to_owned(), 0));
    }
    for read in reads {
        for document in &read.documents {
            let Some((kind, name, span)) = document.identity() else { continue };
            let file = read.findings.source().name().to_owned();
            match first.entry((kind, name.to_owned())) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert((file, span.line));
                }
                std::collections::hash_map::Entry::Occupied(entry) => {
                    let (other, line) = entry.get();
                    let place = if *line == 0 { other.clone() } else { format!("{other}:{line}") };
                    let message = format!("two documents of kind {kind} are named {}", quoted(name));
                    let problem = read.findings.at(Code::DuplicateName, span, message);
                    read.findings
                        .push(problem.label(format!("the other: {place}")).help("rename one of them"));
                }
            }
        }
    }
}

/// The kits that files hold, as kind and name, without a look at what they say.
///
/// # Errors
/// That the files cannot be read.
pub fn kits_in(selection: &Selection, folder: &Path) -> Result<Vec<(&'static str, String)>, LoadError> {
    let found = discover(selection.clone(), folder)?;
    let mut kits = Vec::new();
    for file in &found.files {
        for document in &read(&file.name, &file.bytes).documents {
            let Some((kind, name, _)) = document.identity() else { continue };
            if matches!(kind, "Agent" | "Mixin") {
                kits.push((kind, name.to_owned()));
            }
        }
    }
    Ok(kits)
}

/// Names of the sandboxes that files define, also where these say something wrong.
///
/// # Errors
/// That the files cannot be read.
pub fn sandboxes_in(selection: &Selection, folder: &Path) -> Result<Vec<String>, LoadError> {
    let found = discover(selection.clone(), folder)?;
    let name = |node: &Node| {
        let is_sandbox = node.get("kind")?.text()? == "Sandbox";
        is_sandbox.then(|| Some(node.get("metadata")?.get("name")?.text()?.to_owned()))?
    };
    let nodes = found.files.iter().flat_map(|file| parse::documents(&file.name, &file.bytes).0);
    Ok(nodes.filter_map(|node| name(&node)).collect())
}

/// The services of the program and of the files here. What is wrong with the files is not asked now, but a built-in
/// service stays what it is, and a name that two documents have is none's: its second place is given instead.
pub(super) fn services_here(context: &Context) -> (Services, BTreeMap<String, String>) {
    let files = discover(Selection::Default, &context.folder).map(|found| found.files).unwrap_or_default();
    let (mut services, mut twice) = (builtin::services().clone(), BTreeMap::new());
    for file in &files {
        let mut read = read(&file.name, &file.bytes);
        for document in &read.documents {
            let AnyDocument::Service(document) = document else { continue };
            let name = document.metadata.name.value.0.clone();
            if builtin::has_service(&name) {
                continue;
            }
            match services.entry(name) {
                btree_map::Entry::Occupied(first) => {
                    drop(twice.insert(first.key().clone(), file.name.clone()))
                }
                btree_map::Entry::Vacant(place) => {
                    if let Some(service) = service(&document.spec, &mut read.findings) {
                        place.insert(service);
                    }
                }
            }
        }
    }
    (services, twice)
}
