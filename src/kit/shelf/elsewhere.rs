//! Kits that are no folders: archives beneath the repository.

use std::{path::PathBuf, rc::Rc};

use super::{Shelf, folder::Place};
use crate::kit::{
    archive::{ARCHIVE_MAX, ArchiveTree},
    discover::{Snapshot, SourceFile, Unread, read_in},
    merge::At,
    problem::{Code, quoted},
    schema::SchemaName,
    spanned::Spanned,
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
