//! Kits on this host: checked, imported, packed.

use std::{
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use sha2::{Digest, Sha256};

use super::{Host, documents};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{CheckedKit, WrittenKit},
        place,
    },
    kit::{
        self, ArchiveError, ArchiveTree, GitSource, KIT_FILE, KitFile, KitFolderError, LoadError, LockUse,
        Problem, Selection, Snapshot, Tree as _,
        docker::{self, Imported, SPEC_FILE},
    },
};

/// A kit that was read.
struct Named {
    /// Its file, as its user knows it.
    shown: String,
    read: Read,
    place: Place,
}

enum Read {
    /// Ours, and how it is loaded.
    Ours(Selection),
    Docker(Box<Imported>),
}

/// Where the kit's files are.
enum Place {
    /// Beside this file.
    File(PathBuf),
    Archive(Vec<KitFile>),
}

impl Host {
    pub(super) fn checked_kit(&self, path: &Path) -> Result<CheckedKit, Failure> {
        let named = self.read_kit(path)?;
        if let (Read::Docker(_), Place::File(file)) = (&named.read, &named.place) {
            docker_files(file)?;
        }
        Ok(match named.read {
            Read::Docker(imported) => CheckedKit {
                kind: imported.kind.to_owned(),
                name: imported.name.clone(),
                format: "Docker Sandboxes, schema 2".to_owned(),
                reports: imported.reports.iter().map(Problem::to_line).collect(),
                fetched: self.told(),
            },
            Read::Ours(selection) => {
                let kits = kit::kits_in(&selection, &self.folder).map_err(documents::load_failure)?;
                let Some((kind, name)) = kits.into_iter().next() else {
                    let message = format!("{} holds no document of kind Agent or Mixin", named.shown);
                    return Err(Failure::new(Kind::File, "no_kit", message));
                };
                let loaded =
                    self.load_selection(&selection, LockUse::Prefer).map_err(documents::load_failure)?;
                let reports = loaded.warnings.iter().map(Problem::to_line).collect();
                let fetched = self.told();
                CheckedKit { kind: kind.to_owned(), name, format: "Cofferdam".to_owned(), reports, fetched }
            }
        })
    }

    /// The kit that a path names: a folder, its file, or an archive.
    fn read_kit(&self, path: &Path) -> Result<Named, Failure> {
        if let Some(text) = path.to_str().filter(|text| text.starts_with("git+")) {
            return self.read_source(text);
        }
        let whole = self.kit_path(path);
        let unread = |error| documents::load_failure(LoadError::Discover(error));
        if kit::is_archive(path) && !whole.is_dir() {
            let bytes = kit::read_file(&whole, kit::ARCHIVE_MAX).map_err(unread)?;
            return self.read_packed(&path.display().to_string(), &whole, &bytes);
        }
        let file = if whole.is_dir() {
            let candidates = [KIT_FILE, SPEC_FILE].map(|name| whole.join(name));
            let found = candidates.into_iter().find(|file| file.symlink_metadata().is_ok());
            found.ok_or_else(|| no_kit(&whole.display().to_string()))?
        } else {
            whole
        };
        let bytes = kit::read_file(&file, kit::FILE_MAX).map_err(unread)?;
        let docker = file.file_name().is_some_and(|name| name == SPEC_FILE) || docker::is_spec(&bytes);
        let shown = file.strip_prefix(&self.folder).unwrap_or(&file).display().to_string();
        let read = match docker {
            true => Read::Docker(Box::new(self.read_docker(&shown, &bytes)?)),
            false => Read::Ours(Selection::Path(file.clone())),
        };
        Ok(Named { shown, read, place: Place::File(file) })
    }

    /// Where a kit lies: at a path, else by its name in `kits/`, as files name it.
    fn kit_path(&self, path: &Path) -> PathBuf {
        // Without `.` at its end, which a message would repeat.
        let whole: PathBuf = self.folder.join(path).components().collect();
        let mut parts = path.components();
        if whole.symlink_metadata().is_ok()
            || !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        {
            return whole;
        }
        let here = kit::Checkout::of(&self.folder).ok();
        let above = self
            .folder
            .ancestors()
            .take_while(|folder| here.as_ref().is_some_and(|here| folder.starts_with(here.root())));
        let user = self.places.config.parent().map(|folder| folder.join("kits"));
        let folders =
            above.flat_map(|folder| [folder.join(".cofferdam/kits"), folder.join("kits")]).chain(user);
        folders.map(|folder| folder.join(path)).find(|folder| folder.is_dir()).unwrap_or(whole)
    }

    /// The kit at a source that somebody typed: it is fetched now.
    fn read_source(&self, text: &str) -> Result<Named, Failure> {
        let source: GitSource =
            text.parse().map_err(|error| Failure::usage("kit_source", format!("{text}: {error}")))?;
        let pin = self.fetch(&source, None)?;
        let kept = self.elsewhere(true).store.map_or(Ok(None), |store| store.archive(&pin.digest));
        let Ok(Some(archive)) = kept else {
            return Err(Failure::new(Kind::Failed, "kit_cache", "what was fetched is not in the cache"));
        };
        let shown = source.to_string();
        self.read_packed(&shown, Path::new(&shown), &archive)
    }

    /// The kit in an archive.
    fn read_packed(&self, shown: &str, path: &Path, bytes: &[u8]) -> Result<Named, Failure> {
        let refused = |error: ArchiveError| {
            Failure::new(Kind::File, "kit_archive", format!("{shown}: {error}"))
                .hint("`cofferdam kit pack` writes an archive that is right")
        };
        let tree = Rc::new(ArchiveTree::open(shown, path, bytes).map_err(refused)?);
        let place = Place::Archive(kit::kit_files_in(bytes).map_err(refused)?);
        let read = |file: &str| {
            tree.read(file, kit::FILE_MAX).map_err(|reason| Failure::new(Kind::File, "kit_archive", reason))
        };
        if read(KIT_FILE)?.is_some() {
            let shown = tree.shown(KIT_FILE);
            let snapshot = Snapshot { tree, path: Some(KIT_FILE.into()), folder: PathBuf::new() };
            return Ok(Named { shown, read: Read::Ours(Selection::Tree(snapshot)), place });
        }
        let Some(bytes) = read(SPEC_FILE)? else { return Err(no_kit(shown)) };
        let shown = tree.shown(SPEC_FILE);
        let imported = self.read_docker(&shown, &bytes)?;
        Ok(Named { shown, read: Read::Docker(Box::new(imported)), place })
    }

    /// What a spec of Docker's becomes, which must be right in our own words.
    fn read_docker(&self, shown: &str, bytes: &[u8]) -> Result<Imported, Failure> {
        let imported = docker::import(shown, bytes).map_err(documents::problems)?;
        self.check_text(&imported)?;
        Ok(imported)
    }

    fn check_text(&self, imported: &Imported) -> Result<(), Failure> {
        let selection = Selection::Stdin(imported.text.clone().into_bytes());
        match self.load_selection(&selection, LockUse::Ignore) {
            Ok(_) => Ok(()),
            Err(LoadError::Invalid(problems)) => {
                let told = problems.into_iter().map(|problem| problem.found_in(&imported.source));
                Err(documents::load_failure(LoadError::Invalid(told.collect())))
            }
            Err(error) => Err(documents::load_failure(error)),
        }
    }

    pub(super) fn imported_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        let named = self.read_kit(path)?;
        let Read::Docker(imported) = named.read else {
            return Err(Failure::usage("not_docker", format!("{} is a kit of ours already", named.shown)));
        };
        let folder =
            self.folder.join(to.map_or_else(|| Path::new("kits").join(&imported.name), Path::to_owned));
        if folder.symlink_metadata().is_ok() {
            let message = format!("{} is there already; nothing was written", folder.display());
            return Err(Failure::usage("exists", message).hint("name another folder with --to"));
        }
        let mut files = match named.place {
            Place::Archive(files) => files,
            Place::File(file) => docker_files(&file)?,
        };
        // Only what is put into the sandbox; the rest is about the other format.
        files
            .retain(|file| file.path.starts_with("files/home/") || file.path.starts_with("files/workspace/"));
        for file in &mut files {
            file.bytes = docker::in_our_words(std::mem::take(&mut file.bytes));
        }
        let text = imported.text.clone().into_bytes();
        files.push(KitFile { path: KIT_FILE.to_owned(), bytes: text, executable: false });
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in &files {
            write_new(&self.folder, &folder.join(&file.path), file)?;
        }
        Ok(WrittenKit {
            name: imported.name.clone(),
            path: folder,
            files: files.into_iter().map(|file| file.path).collect(),
            reports: imported.reports.iter().map(Problem::to_line).collect(),
            digest: None,
        })
    }

    pub(super) fn packed_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        if path.to_str().is_some_and(|text| text.starts_with("git+")) {
            return Err(Failure::usage(
                "packed",
                "a folder is packed; fetch the kit into one, or name it where it is",
            ));
        }
        let checked = self.checked_kit(path)?;
        let path = self.kit_path(path);
        if kit::is_archive(&path) && !path.is_dir() {
            return Err(Failure::usage("packed", format!("{} is an archive already", path.display())));
        }
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("/")).to_owned() };
        let files = kit::kit_files(&folder).map_err(folder_failure)?;
        let archive = kit::kit_archive(&files).map_err(folder_failure)?;
        // What is handed out must be what everybody can read.
        kit::kit_files_in(&archive).map_err(|error| {
            Failure::new(Kind::File, "kit_archive", format!("{}: {error}", folder.display()))
                .hint("rename or remove it, and pack again")
        })?;
        let digest = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        let target = self
            .folder
            .join(to.map_or_else(|| PathBuf::from(format!("{}.tar", checked.name)), Path::to_owned));
        write_new(
            &self.folder,
            &target,
            &KitFile { path: String::new(), bytes: archive, executable: false },
        )?;
        let files = files.into_iter().map(|file| file.path).collect();
        Ok(WrittenKit {
            name: checked.name,
            path: target,
            files,
            reports: checked.reports,
            digest: Some(digest),
        })
    }
}

/// What lies beside a kit of Docker's; nothing where the file is not called as in a kit's folder.
fn docker_files(file: &Path) -> Result<Vec<KitFile>, Failure> {
    if !file.ends_with(SPEC_FILE) {
        return Ok(Vec::new());
    }
    kit::kit_files(file.parent().unwrap_or(Path::new("/"))).map_err(folder_failure)
}

fn no_kit(shown: &str) -> Failure {
    Failure::new(Kind::File, "no_kit", format!("{shown} holds neither {KIT_FILE} nor {SPEC_FILE}"))
        .hint("a kit is a folder or an archive with one of the two")
}

fn folder_failure(error: KitFolderError) -> Failure {
    Failure::from_error(Kind::File, "kit_folder", &error)
}

/// Writes a file that must not be there yet.
fn write_new(folder: &Path, path: &Path, file: &KitFile) -> Result<(), Failure> {
    place::create_named(folder, path, &file.bytes, file.executable).map_err(|error| {
        let failure = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage("kit_write", format!("{} is there already", path.display()))
            }
            _ => Failure::new(Kind::Failed, "kit_write", format!("cannot write {}", path.display()))
                .caused_by(&error),
        };
        failure.hint("name another place with --to")
    })
}
