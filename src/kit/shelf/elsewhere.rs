//! Kits that are no folders: archives beneath the repository, and what a lock file pins of a repository elsewhere.

use std::{path::PathBuf, rc::Rc};

use super::{Shelf, folder::Place};
use crate::{
    kit::{
        archive::{ARCHIVE_MAX, ArchiveTree},
        discover::{Snapshot, SourceFile, Unread, read_in},
        elsewhere::{FORM, GitSource, Pin},
        lock::LOCK_FILE,
        merge::At,
        problem::{Code, Problem, Wanted, quoted},
        schema::SchemaName,
        spanned::Spanned,
    },
    model::rule::Layer,
};

impl Shelf<'_> {
    /// The kit in an archive that a document names by its path.
    pub(super) fn by_archive(
        &mut self,
        kind: SchemaName,
        name: &Spanned<String>,
        at: &At,
        from: &SourceFile,
    ) -> Option<usize> {
        if from.is_of_an_archive() {
            let message = format!("{} would lie in an archive itself", quoted(name));
            self.push(
                at.problem(Code::Kit, message).help("pack the kit's folder, with what it extends in it"),
            );
            return None;
        }
        let relative = self.relative(name, at, from)?;
        let root: PathBuf = from.base.join(&relative).components().collect();
        if !self.opened.contains_key(&root) {
            let shown = Place::beside(from, relative.clone(), at.layer).shown.to_string_lossy().into_owned();
            let opened = match read_in(from.tree.as_ref(), &from.base, &relative, ARCHIVE_MAX) {
                Ok(bytes) => self.open(&shown, root.clone(), &bytes, at),
                Err(error) => {
                    let (message, help) = match error {
                        Unread::NotThere => (
                            format!("there is no archive {}", quoted(name)),
                            "`cofferdam kit pack` writes one",
                        ),
                        Unread::Refused(reason) => {
                            (format!("{shown}: {reason}"), "an archive is one regular file")
                        }
                    };
                    self.push(at.problem(Code::Kit, message).help(help));
                    None
                }
            };
            self.opened.insert(root.clone(), opened);
        }
        let snapshot = self.opened.get(&root)?.clone()?;
        self.packed(kind, name, snapshot, at)
    }

    /// The kit in a git repository elsewhere: what it is pinned to, as it was fetched before. Nothing is fetched here.
    pub(super) fn by_git(
        &mut self,
        kind: SchemaName,
        name: &Spanned<String>,
        at: &At,
        from: &SourceFile,
    ) -> Option<usize> {
        let source: GitSource = match name.parse() {
            Ok(source) => source,
            Err(error) => {
                let message = format!("{}: {error}", quoted(name));
                self.push(at.problem(Code::Kit, message).help(FORM));
                return None;
            }
        };
        let typed = self.context.elsewhere.typed && from.is_standard_input();
        if let Some((message, help)) = misplaced(&source, from, at, typed) {
            self.push(at.problem(Code::Kit, format!("{}: {message}", quoted(name))).help(help));
            return None;
        }
        let root = PathBuf::from(source.to_string());
        if !self.opened.contains_key(&root) {
            let opened = self.pinned(&source, at).and_then(|(pin, bytes)| {
                self.sources.insert(source.clone(), pin);
                self.open(&source.to_string(), root.clone(), &bytes, at)
            });
            self.opened.insert(root.clone(), opened);
        }
        let snapshot = self.opened.get(&root)?.clone()?;
        self.packed(kind, name, snapshot, at)
    }

    /// What a source is pinned to, and the archive that was fetched of it.
    fn pinned(&mut self, source: &GitSource, at: &At) -> Option<(Pin, Vec<u8>)> {
        let elsewhere = &self.context.elsewhere;
        let locked = || self.facts.lock.and_then(|lock| Some(&lock.sources.get(source)?.pin));
        let Some(pin) = elsewhere.resolved.get(source).or_else(locked) else {
            let message = format!("{LOCK_FILE} does not pin {}", quoted(&source.to_string()));
            return self.wanted(source, at, message, "`cofferdam update` shows what is fetched, and pins it");
        };
        let kept = elsewhere.store.as_ref().map_or(Ok(None), |store| store.archive(&pin.digest));
        let message = match kept {
            Ok(Some(bytes)) => return Some((pin.clone(), bytes)),
            Ok(None) => {
                format!("{} is pinned, and was not fetched on this host", quoted(&source.to_string()))
            }
            Err(reason) => {
                format!("what was fetched of {} is damaged: {reason}", quoted(&source.to_string()))
            }
        };
        self.wanted(
            source,
            at,
            message,
            "`cofferdam update --locked` fetches what is pinned; `cofferdam update` what it is now",
        )
    }

    fn wanted<T>(&mut self, source: &GitSource, at: &At, message: String, help: &str) -> Option<T> {
        let problem = at.problem(Code::Lock, message).help(help);
        self.push(Problem { wants: Some(Wanted::Kit(Box::new(source.clone()))), ..problem });
        None
    }

    /// Opens an archive that stands for the folder `root`.
    fn open(&mut self, shown: &str, root: PathBuf, bytes: &[u8], at: &At) -> Option<Snapshot> {
        let opened = ArchiveTree::open(shown, &root, bytes);
        match opened {
            Ok(tree) if self.archives.take(tree.size()) => {
                Some(Snapshot { tree: Rc::new(tree), path: None, folder: PathBuf::new() })
            }
            Ok(_) => {
                self.push(at.problem(Code::TooLarge, "the archives of these files are too large together"));
                None
            }
            Err(error) => {
                let problem = at.problem(Code::Kit, format!("{shown}: {error}"));
                self.push(problem.help("`cofferdam kit pack` writes an archive that is right"));
                None
            }
        }
    }

    /// The kit at the root of what was opened.
    fn packed(
        &mut self,
        kind: SchemaName,
        name: &Spanned<String>,
        snapshot: Snapshot,
        at: &At,
    ) -> Option<usize> {
        let (base, shown) = (snapshot.tree.root().to_owned(), PathBuf::new());
        let place = Place { base, relative: PathBuf::new(), tree: Some(snapshot), shown, layer: at.layer };
        self.the_kit(kind, name, &place, at)
    }
}

/// Why a source may not be named where it is named, and what to do.
fn misplaced(
    source: &GitSource,
    from: &SourceFile,
    at: &At,
    typed: bool,
) -> Option<(&'static str, &'static str)> {
    if from.is_of_an_archive() {
        // So that a reader of the repository's files sees every source there is.
        return Some((
            "a kit from elsewhere names no other one",
            "name it in the sandbox's file, under `kits`",
        ));
    }
    if at.layer == Layer::User {
        let help = "put it into `kits/NAME` beside your configuration, or name it in the repository";
        return Some(("your own mixin and kits take none from elsewhere yet", help));
    }
    if !typed && source.is_of_this_host() {
        let help = "a repository's files reach nothing of this host; only on a command line is it taken";
        return Some(("git+file names a folder of this host", help));
    }
    if !typed && !source.is_public() {
        return Some((
            "its host is this one or one of its own network",
            "name a host by its name; only on a command line is a number taken",
        ));
    }
    None
}
