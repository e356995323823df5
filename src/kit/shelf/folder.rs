//! A kit's folder: `kit.yaml`, and the files that it puts into a sandbox.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{
    Shelf,
    arguments::Values,
    fill::{self, fill_file},
};
use crate::{
    kit::{
        discover::{FoundFile, Snapshot, SourceFile, Unread, files_in, read_in},
        docker::{self, SPEC_FILE},
        document::{read, read_of},
        findings::Findings,
        merge::{At, Placed},
        parse::FILE_MAX,
        problem::{Code, Source},
        resolve::{WORKSPACE, is_of_the_guest},
    },
    model::{
        desired::{File, FileMerge},
        rule::Layer,
    },
};

pub(super) use crate::kit::document::KIT_FILE;

/// Whether a file is that of a kit's folder, so that what lies in `files/` beside it belongs to the kit.
pub(super) fn is_of_a_folder(file: &Path) -> bool {
    file.ends_with(KIT_FILE) || file.ends_with(SPEC_FILE)
}

/// A folder that may be a kit.
pub(super) struct Place {
    /// Folder below which everything lies.
    pub(super) base: PathBuf,
    /// From there.
    pub(super) relative: PathBuf,
    /// The commit or archive that it lies in, if not on disk.
    pub(super) tree: Option<Snapshot>,
    /// As its user knows it.
    pub(super) shown: PathBuf,
    pub(super) layer: Layer,
}

impl Place {
    /// A folder where a file lies, by its path from the same root.
    pub(super) fn beside(from: &SourceFile, relative: PathBuf, layer: Layer) -> Self {
        // From the repository's root, outside of one whole.
        let whole = Path::new(&from.name).is_absolute() && from.tree.is_none();
        let shown = if whole { from.base.join(&relative) } else { relative.clone() };
        Self { base: from.base.clone(), relative, tree: from.tree.clone(), shown, layer }
    }

    /// A file of it, as its user knows it.
    pub(super) fn name(&self, file: &str) -> String {
        match &self.tree {
            Some(snapshot) => snapshot.tree.shown(&self.relative.join(file).to_string_lossy()),
            None => self.shown.join(file).to_string_lossy().into_owned(),
        }
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, Unread> {
        read_in(self.tree.as_ref(), &self.base, &self.relative.join(file), FILE_MAX)
    }
}

/// What a folder is found to be.
pub(super) enum Looked {
    /// There is no kit.
    Nothing,
    /// These kits.
    Kits(Vec<usize>),
    /// Something is wrong, which was said.
    Wrong,
}

impl Shelf<'_> {
    /// Looks for a kit in a folder, for whoever names it at `at`.
    pub(super) fn look(&mut self, place: &Place, at: &At) -> Looked {
        let folder: PathBuf = place.base.join(&place.relative).components().collect();
        if let Some(ids) = self.folders.get(&folder) {
            return if ids.is_empty() { Looked::Nothing } else { Looked::Kits(ids.clone()) };
        }
        let name = place.name(KIT_FILE);
        let bytes = match place.read(KIT_FILE) {
            Ok(bytes) => bytes,
            Err(Unread::NotThere) => return self.look_for_foreign(place, folder, at),
            Err(Unread::Refused(reason)) => {
                let problem = at.problem(Code::Kit, format!("{name}: {reason}"));
                self.push(problem.help("a kit is a folder of regular files"));
                return Looked::Wrong;
            }
        };
        self.shelve(name, bytes, None, &folder.join(KIT_FILE), place, at)
    }

    /// Reads a kit's document and keeps what it holds. `made`: the text, where it was made of another file.
    fn shelve(
        &mut self,
        name: String,
        bytes: Vec<u8>,
        made: Option<Source>,
        path: &Path,
        place: &Place,
        at: &At,
    ) -> Looked {
        if !self.budget.take(bytes.len()) {
            self.push(at.problem(Code::TooLarge, "the kits of these files are too large together"));
            return Looked::Wrong;
        }
        let mut found = match made {
            Some(source) => read_of(source, &String::from_utf8_lossy(&bytes)),
            None => read(&name, &bytes),
        };
        let mut file = SourceFile::new(&name, path.to_owned(), &place.base, bytes, None);
        file.tree.clone_from(&place.tree);
        self.refuse_known_services(&mut found);
        self.add_services(&mut found);
        let ids = self.add_kits(&mut found, &file, place.layer);
        self.report(found.findings);
        for id in &ids {
            self.check(*id);
        }
        Looked::Kits(ids)
    }

    /// A kit of Docker Sandboxes is used as what it becomes; what it loses on the way is told.
    fn look_for_foreign(&mut self, place: &Place, folder: PathBuf, at: &At) -> Looked {
        let name = place.name(SPEC_FILE);
        let bytes = match place.read(SPEC_FILE) {
            Ok(bytes) => bytes,
            Err(Unread::NotThere) => {
                self.folders.insert(folder, Vec::new());
                return Looked::Nothing;
            }
            Err(Unread::Refused(reason)) => {
                let problem = at.problem(Code::Kit, format!("{name}: {reason}"));
                self.push(problem.help("a kit is a folder of regular files"));
                return Looked::Wrong;
            }
        };
        match docker::import(&name, &bytes) {
            Ok(imported) => {
                imported.reports.into_iter().for_each(|report| self.push(report));
                let text = imported.text.into_bytes();
                self.shelve(name, text, Some(imported.source), &folder.join(SPEC_FILE), place, at)
            }
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.push(problem));
                Looked::Wrong
            }
        }
    }

    /// The files that lie in a kit's folder, for the guest.
    pub(super) fn files_of(
        &self,
        file: &SourceFile,
        values: &Values,
        at: &At,
        hasher: &mut Sha256,
        findings: &mut Findings,
    ) -> Vec<Placed<File>> {
        let prefix = if file.path.ends_with(SPEC_FILE) { docker::ARGUMENTS } else { fill::OURS };
        let below = file.folder().strip_prefix(&file.base).unwrap_or(Path::new(""));
        let mut files = Vec::new();
        for (part, start) in [("home", "~"), ("workspace", WORKSPACE)] {
            let found = match files_in(file.tree.as_ref(), &file.base, &below.join("files").join(part)) {
                Ok(found) => found,
                Err(Unread::NotThere) => continue,
                Err(Unread::Refused(reason)) => {
                    let problem = at.problem(Code::File, format!("files/{part} of this kit: {reason}"));
                    findings.push(problem.help("a kit's files are regular files"));
                    continue;
                }
            };
            for FoundFile { path, executable, bytes } in found {
                for part in [path.as_bytes(), &bytes] {
                    hasher.update((part.len() as u64).to_le_bytes());
                    hasher.update(part);
                }
                let content = fill_file(bytes, prefix, values);
                if !self.budget.take(content.len()) {
                    findings.push(at.problem(Code::TooLarge, "the files of kits are too large together"));
                    return files;
                }
                let path = format!("{start}/{path}");
                if !is_of_the_guest(&path, at, findings) {
                    continue;
                }
                let mode = executable.then_some(0o755);
                let (merge, origin) = (FileMerge::Replace, at.origin());
                let value = File { path, content, merge, placeholders: false, mode, origin };
                files.push(Placed { value, at: at.clone() });
            }
        }
        files
    }
}
