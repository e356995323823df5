//! The kits that sandboxes may name: found by name or path, given their arguments, joined with what they extend.
//!
//! ```text
//! name, path ─ find ─▶ Kit (a document and its folder) ─ arguments ─▶ its tree, filled in ─ make ─▶ merge::Part
//! ```
//!
//! A kit is made once for the same arguments. Made of files that an agent may have written: reading and filling in are
//! bounded by `resolve::Budget`, extending by [`CHAIN_MAX`].

mod arguments;
mod elsewhere;
mod fill;
mod find;
mod folder;
mod make;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    rc::Rc,
};

use super::{
    Context, builtin,
    discover::{Snapshot, SourceFile},
    document::{AnyDocument, KitDocument, Read},
    elsewhere::{GitSource, Pin},
    findings::Findings,
    merge::{At, Part, Rank},
    problem::{Code, Problem, Source, Span, quoted},
    resolve::{Budget, Here, Services, service},
    schema::SchemaName,
    sets::{Facts, Sets},
    spanned::Spanned,
    wire::{argument::Scalar, kitref::KitRef, text::ArgumentName},
};
use crate::model::{desired::KitName, rule::Layer};

/// Longest chain of kits that extend each other.
const CHAIN_MAX: usize = 16;
/// Most findings in kits that are kept of one load.
const PROBLEMS_MAX: usize = 500;

/// Arguments that a document gives.
pub(super) type Given = BTreeMap<ArgumentName, Spanned<Scalar>>;

/// A kit's document and where it stands.
#[derive(Debug)]
struct Kit {
    kind: SchemaName,
    name: String,
    document: KitDocument,
    source: Source,
    /// The file; a built-in kit has none.
    file: Option<Rc<SourceFile>>,
    /// Whether the file's folder is the kit: what lies in `files/` belongs to it.
    folder: bool,
    layer: Layer,
    arguments: Vec<arguments::Declared>,
}

/// The kits of one load.
pub(super) struct Shelf<'a> {
    context: &'a Context,
    facts: Facts<'a>,
    budget: Budget,
    services: Services,
    kits: Vec<Rc<Kit>>,
    /// By kind and name: documents of files that are read anyway.
    written: HashMap<(SchemaName, String), usize>,
    /// The same of `kit.yaml` files.
    lying: HashMap<(SchemaName, String), usize>,
    built_in: HashMap<(SchemaName, String), usize>,
    /// Archives that were opened; none where one could not be, which was said.
    opened: HashMap<PathBuf, Option<Snapshot>>,
    /// How many bytes they may hold together.
    archives: Budget,
    /// Kits of folders that were looked into.
    folders: HashMap<PathBuf, Vec<usize>>,
    made: HashMap<(usize, String), Option<Rc<Part>>>,
    /// Names of kits in order, and how many kits there were when they were put so.
    known: (usize, Vec<(SchemaName, String)>),
    /// Sources of kits that were used.
    sources: BTreeMap<GitSource, Pin>,
    problems: Vec<Problem>,
}

impl<'a> Shelf<'a> {
    /// The built-in kits.
    pub(super) fn new(context: &'a Context, facts: Facts<'a>) -> Self {
        let mut shelf = Self {
            context,
            facts,
            budget: Budget::default(),
            services: builtin::services().clone(),
            kits: Vec::new(),
            written: HashMap::new(),
            lying: HashMap::new(),
            built_in: HashMap::new(),
            opened: HashMap::new(),
            archives: Budget::of_archives(),
            folders: HashMap::new(),
            made: HashMap::new(),
            known: (0, Vec::new()),
            sources: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (source, document) in builtin::kits() {
            let id = shelf.put(document.clone(), source.clone(), None, Layer::Repository);
            let kit = &shelf.kits[id];
            shelf.built_in.insert((kit.kind, kit.name.clone()), id);
        }
        shelf
    }

    /// The services of a file that was read. They come before kits: those of any file name them.
    pub(super) fn add_services(&mut self, read: &mut Read) {
        for document in &read.documents {
            if let AnyDocument::Service(document) = document {
                let resolved = service(&document.spec, &mut read.findings);
                let name = document.metadata.name.value.0.clone();
                self.services.extend(resolved.map(|service| (name, service)));
            }
        }
    }

    /// Takes services out that are known already: a kit that somebody names does not say where another's secret goes.
    pub(super) fn refuse_known_services(&self, read: &mut Read) {
        let Read { documents, findings, .. } = read;
        documents.retain(|document| {
            let AnyDocument::Service(service) = document else { return true };
            let name = &service.metadata.name;
            let known = self.services.contains_key(&name.value.0);
            if known {
                let message = format!("there is a service {} already", quoted(&name.value.0));
                findings.push(
                    findings.at(Code::DuplicateName, name.span, message).help("give this one another name"),
                );
            }
            !known
        });
    }

    /// The kits of a file that was read, and their ids.
    pub(super) fn add_kits(&mut self, read: &mut Read, file: &SourceFile, layer: Layer) -> Vec<usize> {
        let lies = folder::is_of_a_folder(&file.path);
        let mut ids = Vec::new();
        let mut shared = None;
        for document in std::mem::take(&mut read.documents) {
            let AnyDocument::Kit(document) = document else {
                read.documents.push(document);
                continue;
            };
            // The bytes were read; only where the file lies is of use from here on.
            let without_bytes = || SourceFile { bytes: Vec::new(), ..file.clone() };
            let file = Rc::clone(shared.get_or_insert_with(|| Rc::new(without_bytes())));
            let id = self.put(document, read.findings.source().clone(), Some(file), layer);
            let kit = &self.kits[id];
            let named = if lies { &mut self.lying } else { &mut self.written };
            named.entry((kit.kind, kit.name.clone())).or_insert(id);
            ids.push(id);
        }
        if lies {
            self.folders.insert(file.folder().to_owned(), ids.clone());
        }
        ids
    }

    fn put(
        &mut self,
        document: KitDocument,
        source: Source,
        file: Option<Rc<SourceFile>>,
        layer: Layer,
    ) -> usize {
        let folder = file.as_ref().is_some_and(|file| folder::is_of_a_folder(&file.path));
        let kit = Kit {
            kind: document.kind,
            name: document.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            arguments: arguments::declared(&document),
            document,
            source,
            file,
            folder,
            layer,
        };
        self.kits.push(Rc::new(kit));
        self.kits.len() - 1
    }

    /// The user's own mixin, which comes after everything else.
    pub(super) fn own(&mut self, read: &mut Read, file: &SourceFile) -> Option<Rc<Part>> {
        let id = *self.add_kits(read, file, Layer::User).first()?;
        self.check(id);
        let at = At { source: read.findings.source().clone(), span: Span::default(), layer: Layer::User };
        let part = self.instance(id, &Given::new(), &at, &mut Vec::new())?;
        let shown = "your own mixin".to_owned();
        Some(Rc::new(Part { rank: Rank::User, shown, ..(*part).clone() }))
    }

    /// Checks a kit by itself: with its defaults, and without what has none.
    pub(super) fn check(&mut self, id: usize) {
        let kit = Rc::clone(&self.kits[id]);
        let mut findings = Findings::new(kit.source.clone());
        arguments::check(&kit.arguments, &mut findings);
        self.report(findings);
        let values = arguments::samples(&kit.arguments);
        self.make(id, &values, &mut Vec::new());
    }

    /// How a document at the repository's root names a kit that one of its files names so; none where the kit is itself a
    /// document of a file that holds other things.
    pub(super) fn written(&self, id: usize, named: &KitRef, from: &SourceFile) -> Option<KitName> {
        let (kit, text) = (&self.kits[id], named.kit.value.as_str());
        let text = match &kit.file {
            Some(_) if !kit.folder => return None,
            Some(file) if file.base == from.base => find::from_root(find::below(file), text),
            // An archive's path begins at the file that names it.
            Some(file) if file.is_of_an_archive() && !text.starts_with("git+") => {
                find::path_from_root(text, from)?
            }
            _ => text.to_owned(),
        };
        let args = named.args.iter().map(|(name, value)| (name.0.clone(), value.value.to_json()));
        Some(KitName { kit: text, args: args.collect() })
    }

    /// The agent's kit that a document names, and its id.
    pub(super) fn agent(
        &mut self,
        name: &Spanned<String>,
        given: &Given,
        at: &At,
        from: &SourceFile,
    ) -> Option<(usize, Rc<Part>)> {
        let id = self.find(SchemaName::Agent, name, at, Some(from))?;
        Some((id, self.instance(id, given, at, &mut Vec::new())?))
    }

    /// The mixin that a document names, and its id.
    pub(super) fn mixin(
        &mut self,
        name: &Spanned<String>,
        given: &Given,
        at: &At,
        from: &SourceFile,
    ) -> Option<(usize, Rc<Part>)> {
        let id = self.find(SchemaName::Mixin, name, at, Some(from))?;
        Some((id, self.instance(id, given, at, &mut Vec::new())?))
    }

    /// Name and place of a kit, for people.
    pub(super) fn shown(&self, id: usize) -> (String, String) {
        let kit = &self.kits[id];
        let place = if kit.file.is_some() { kit.source.name().to_owned() } else { "built-in".to_owned() };
        (kit.name.clone(), place)
    }

    fn instance(&mut self, id: usize, given: &Given, at: &At, chain: &mut Vec<usize>) -> Option<Rc<Part>> {
        let kit = Rc::clone(&self.kits[id]);
        match arguments::values(&kit, given, at) {
            Ok(values) => self.make(id, &values, chain),
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.push(problem));
                None
            }
        }
    }

    /// Where a kit's document stands.
    fn here<'b>(&'b self, kit: &'b Kit) -> Here<'b> {
        Here {
            name: kit.source.name(),
            source: Some(&kit.source),
            file: kit.file.as_deref().map(|file| (file, self.context)),
            sets: Sets { services: &self.services, facts: self.facts },
            budget: &self.budget,
            layer: kit.layer,
        }
    }

    /// Where a file's document stands.
    pub(super) fn around<'b>(&'b self, file: &'b SourceFile, layer: Layer) -> Here<'b> {
        Here {
            name: &file.name,
            source: None,
            file: Some((file, self.context)),
            sets: Sets { services: &self.services, facts: self.facts },
            budget: &self.budget,
            layer,
        }
    }

    fn report(&mut self, findings: Findings) {
        let (errors, warnings) = findings.into_parts();
        errors.into_iter().chain(warnings).for_each(|problem| self.push(problem));
    }

    /// Whether further findings would not be kept: nothing need be worked out for them.
    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// A finding in a kit, or where one is named.
    fn push(&mut self, problem: Problem) {
        if !self.is_full() {
            self.problems.push(problem);
        }
    }

    /// Everything that is wrong with kits and their uses, and the sources that were used.
    pub(super) fn into_parts(self) -> (Vec<Problem>, BTreeMap<GitSource, Pin>) {
        (self.problems, self.sources)
    }
}
