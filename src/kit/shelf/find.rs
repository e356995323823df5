//! Finding a kit by its name or path.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use super::{
    Shelf,
    folder::{KIT_FILE, Looked, Place},
};
use crate::{
    kit::{
        archive::is_archive,
        discover::{SourceFile, folders_in},
        merge::At,
        near::{listed, similar},
        problem::{Code, Problem, quoted, quoted_path},
        resolve::PLANNED,
        schema::SchemaName,
        spanned::Spanned,
    },
    model::rule::Layer,
};

/// Most names of kits that one that is wrong is held against.
const KNOWN_MAX: usize = 256;
/// Folders that hold kits by name.
const PLACES: [&str; 2] = [".cofferdam/kits", "kits"];
/// Beginnings of addresses that are none of git.
const REMOTE: [&str; 4] = ["https://", "http://", "oci://", "file://"];

impl Shelf<'_> {
    /// The kit of a kind that a file names at `at`. A built-in kit names others by name only.
    pub(super) fn find(
        &mut self,
        kind: SchemaName,
        name: &Spanned<String>,
        at: &At,
        from: Option<&SourceFile>,
    ) -> Option<usize> {
        let text = name.value.as_str();
        if REMOTE.iter().any(|prefix| text.starts_with(prefix)) {
            let message = format!("kits from {} are not available yet", quoted(text));
            let help =
                "name a git repository (git+https://HOST/PATH#ref=REF&dir=DIR), or an archive of this one";
            self.push(at.problem(Code::NotAvailable, message).label("not available yet").help(help));
            return None;
        }
        match from {
            Some(from) if text.starts_with("git+") => self.by_git(kind, name, at, from),
            Some(from) if is_archive(Path::new(text)) => self.by_archive(kind, name, at, from),
            Some(from) if text.contains('/') || matches!(text, "." | ".." | "~") => {
                self.by_path(kind, text, at, from)
            }
            _ => self.by_name(kind, text, at, from),
        }
    }

    fn by_path(&mut self, kind: SchemaName, text: &str, at: &At, from: &SourceFile) -> Option<usize> {
        let relative = self.relative(text, at, from)?;
        self.the_kit(kind, text, &Place::beside(from, relative, at.layer), at)
    }

    /// A path that a document names, from its repository's root.
    pub(super) fn relative(&mut self, text: &str, at: &At, from: &SourceFile) -> Option<PathBuf> {
        let relative = lexical(&below(from).join(text)).filter(|_| !text.starts_with(['~', '/']));
        if relative.is_none() {
            let message = format!("{} does not lie in this repository", quoted(text));
            let help = "a kit's path begins at this file and stays in the repository: ./kits/review";
            self.push(at.problem(Code::Kit, message).help(help));
        }
        relative
    }

    /// The one kit of a kind in a folder.
    pub(super) fn the_kit(&mut self, kind: SchemaName, text: &str, place: &Place, at: &At) -> Option<usize> {
        match self.look(place, at) {
            Looked::Wrong => None,
            Looked::Nothing => {
                let message = format!("there is no kit in {}", quoted(text));
                self.push(at.problem(Code::Kit, message).help("a kit is a folder with a kit.yaml"));
                None
            }
            Looked::Kits(ids) => {
                let of_kind: Vec<_> = ids.iter().filter(|id| self.kits[**id].kind == kind).collect();
                if let [only] = of_kind[..] {
                    return Some(*only);
                }
                let found = of_kind.len();
                let message =
                    format!("{} holds {found} kits of kind {kind:?}, and one is needed", quoted(text));
                self.push(at.problem(Code::Kit, message).help(which_kind(kind)));
                None
            }
        }
    }

    fn by_name(&mut self, kind: SchemaName, text: &str, at: &At, from: Option<&SourceFile>) -> Option<usize> {
        let key = (kind, text.to_owned());
        if let Some(id) = self.written.get(&key) {
            return Some(*id);
        }
        if plain(text) {
            for place in self.places(text, at, from) {
                match self.look(&place, at) {
                    Looked::Nothing => {}
                    Looked::Wrong => return None,
                    Looked::Kits(ids) => return self.named(&key, &ids, &place, at),
                }
            }
        }
        if let Some(id) = self.lying.get(&key).or_else(|| self.built_in.get(&key)) {
            return Some(*id);
        }
        self.unknown(&key, at, from);
        None
    }

    /// Folders that lie where kits do, by name, with the place of each.
    fn beside(&self, at: &At, from: Option<&SourceFile>) -> BTreeMap<String, Place> {
        let mut found = BTreeMap::new();
        for place in self.places("", at, from) {
            let names = folders_in(place.tree.as_ref(), &place.base, &place.relative).unwrap_or_default();
            for name in names.into_iter().filter(|name| plain(name)) {
                let (relative, shown) = (place.relative.join(&name), place.shown.join(&name));
                let (base, tree) = (place.base.clone(), place.tree.clone());
                found.entry(name).or_insert(Place { base, relative, tree, shown, layer: place.layer });
            }
        }
        found
    }

    /// The folders that may hold a kit of this name: upwards from the file, then the user's.
    fn places(&self, name: &str, at: &At, from: Option<&SourceFile>) -> Vec<Place> {
        let mut places = Vec::new();
        if let Some(from) = from {
            for folder in below(from).ancestors() {
                for kits in PLACES {
                    places.push(Place::beside(from, folder.join(kits).join(name), at.layer));
                }
            }
        }
        if let Some(folder) = &self.context.user_folder {
            let base = folder.join("kits");
            let shown = base.join(name);
            places.push(Place { base, relative: name.into(), tree: None, shown, layer: Layer::User });
        }
        places
    }

    fn named(
        &mut self,
        (kind, name): &(SchemaName, String),
        ids: &[usize],
        place: &Place,
        at: &At,
    ) -> Option<usize> {
        let fits = |id: &&usize| self.kits[**id].kind == *kind && self.kits[**id].name == *name;
        if let Some(id) = ids.iter().find(fits) {
            return Some(*id);
        }
        let file = quoted_path(Path::new(&place.name(KIT_FILE)));
        let message = format!("{file} holds no document of kind {kind:?} with the name {}", quoted(name));
        self.push(at.problem(Code::Kit, message).help(which_kind(*kind)));
        None
    }

    /// Puts the names of kits in order, once for as many kits as there are: files may name a great many wrongly.
    fn know(&mut self) {
        if self.known.0 != self.kits.len() {
            let maps = [&self.written, &self.lying, &self.built_in];
            let names: BTreeSet<_> = maps.iter().flat_map(|map| map.keys()).collect();
            self.known = (self.kits.len(), names.into_iter().cloned().collect());
        }
    }

    fn unknown(&mut self, wanted: &(SchemaName, String), at: &At, from: Option<&SourceFile>) {
        if !self.is_full() {
            self.know();
            let problem = self.not_found(wanted, &self.beside(at, from), at);
            self.push(problem);
        }
    }

    fn not_found(
        &self,
        (kind, name): &(SchemaName, String),
        beside: &BTreeMap<String, Place>,
        at: &At,
    ) -> Problem {
        if let Some(place) = beside.get(name) {
            let folder = quoted_path(&place.shown);
            let problem = at.problem(Code::Kit, format!("{folder} has no {KIT_FILE}"));
            return problem.help("a kit is a folder with a kit.yaml");
        }
        let agent = *kind == SchemaName::Agent;
        let known = self.known.1.iter().filter(|key| key.0 == *kind).map(|key| key.1.as_str());
        // Of a folder's name nobody knows whether its kit is an agent's.
        let folders = beside.keys().map(String::as_str).filter(|_| !agent);
        let known: BTreeSet<&str> = known.take(KNOWN_MAX).chain(folders).collect();
        let known = || known.iter().copied();
        let listed = listed(known());
        let planned = PLANNED.into_iter().filter(|_| agent);
        if planned.clone().any(|planned| planned == name) {
            let message = format!("the agent {} is not available yet", quoted(name));
            at.problem(Code::NotAvailable, message).help(format!("available: {listed}"))
        } else {
            let what = if agent { "agent" } else { "mixin" };
            let problem = at.problem(Code::UnknownName, format!("no {what} is named {}", quoted(name)));
            match similar(name, known().chain(planned)) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None if listed.is_empty() => problem.help("a mixin is a folder kits/NAME with a kit.yaml"),
                None => problem.help(format!("available: {listed}")),
            }
        }
    }
}

/// Whether a text has the form of a kit's name.
fn plain(name: &str) -> bool {
    let sign = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(sign)
}

fn which_kind(kind: SchemaName) -> &'static str {
    match kind {
        SchemaName::Agent => "under `agent` stands a kit of kind Agent; mixins stand under `kits`",
        _ => "under `kits` stand kits of kind Mixin; an agent stands under `agent`",
    }
}

/// How a document at the root names a kit that lies in a folder of the repository and was named so.
pub(super) fn from_root(folder: &Path, text: &str) -> String {
    let by_name = PLACES.iter().any(|place| folder == Path::new(place).join(text));
    if by_name { text.to_owned() } else { format!("./{}", folder.display()) }
}

/// The path that a file names, as a document at the root names it.
pub(super) fn path_from_root(text: &str, from: &SourceFile) -> Option<String> {
    lexical(&below(from).join(text)).map(|path| format!("./{}", path.display()))
}

/// The folder of a file, from its repository's root.
pub(super) fn below(file: &SourceFile) -> &Path {
    file.folder().strip_prefix(&file.base).unwrap_or(Path::new(""))
}

/// A relative path without `.` and `..`; none where it leads out.
fn lexical(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}
