//! Kits on this host: checked, imported, packed.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Host, documents};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{CheckedKit, WrittenKit},
    },
    kit::{
        self, KIT_FILE, KitFile, KitFolderError, LoadError, LockUse, Problem, Selection,
        docker::{self, Imported, SPEC_FILE},
    },
};

/// A kit that was read.
enum Read {
    Ours,
    Docker(Box<Imported>),
}

impl Host {
    pub(super) fn checked_kit(&self, path: &Path) -> Result<CheckedKit, Failure> {
        let (file, read) = self.read_kit(path)?;
        Ok(match read {
            Read::Docker(imported) => CheckedKit {
                kind: imported.kind.to_owned(),
                name: imported.name.clone(),
                format: "Docker Sandboxes, schema 2".to_owned(),
                reports: imported.reports.iter().map(Problem::to_line).collect(),
            },
            Read::Ours => {
                let selection = Selection::Path(file.clone());
                let kits = kit::kits_in(&selection, &self.folder).map_err(documents::load_failure)?;
                let Some((kind, name)) = kits.into_iter().next() else {
                    let message = format!("{} holds no document of kind Agent or Mixin", file.display());
                    return Err(Failure::new(Kind::File, "no_kit", message));
                };
                let loaded =
                    self.load_selection(&selection, LockUse::Prefer).map_err(documents::load_failure)?;
                let reports = loaded.warnings.iter().map(Problem::to_line).collect();
                CheckedKit { kind: kind.to_owned(), name, format: "Cofferdam".to_owned(), reports }
            }
        })
    }

    /// The kit's file, and what a spec of Docker's becomes.
    fn read_kit(&self, path: &Path) -> Result<(PathBuf, Read), Failure> {
        let path = self.folder.join(path);
        let file = if path.is_dir() {
            let candidates = [KIT_FILE, SPEC_FILE].map(|name| path.join(name));
            candidates.into_iter().find(|file| file.symlink_metadata().is_ok()).ok_or_else(|| {
                let message = format!("{} holds neither {KIT_FILE} nor {SPEC_FILE}", path.display());
                Failure::new(Kind::File, "no_kit", message).hint("a kit is a folder with one of the two")
            })?
        } else {
            path
        };
        let bytes =
            kit::read_file(&file).map_err(|error| documents::load_failure(LoadError::Discover(error)))?;
        if file.file_name().is_none_or(|name| name != SPEC_FILE) && !docker::is_spec(&bytes) {
            return Ok((file, Read::Ours));
        }
        let name = file.strip_prefix(&self.folder).unwrap_or(&file).display().to_string();
        let imported = docker::import(&name, &bytes).map_err(documents::problems)?;
        // What was written must be right in our own words.
        self.check_text(&imported)?;
        Ok((file, Read::Docker(Box::new(imported))))
    }

    fn check_text(&self, imported: &Imported) -> Result<(), Failure> {
        let selection = Selection::Stdin(imported.text.clone().into_bytes());
        match self.load_selection(&selection, LockUse::Ignore) {
            Ok(_) => Ok(()),
            Err(error) => Err(documents::load_failure(error)
                .hint("the lines are those of the kit.yaml that the spec becomes; its `why` names the line of the spec")),
        }
    }

    pub(super) fn imported_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        let (file, read) = self.read_kit(path)?;
        let Read::Docker(imported) = read else {
            return Err(Failure::usage("not_docker", format!("{} is a kit of ours already", file.display())));
        };
        let folder =
            self.folder.join(to.map_or_else(|| Path::new("kits").join(&imported.name), Path::to_owned));
        if folder.symlink_metadata().is_ok() {
            let message = format!("{} is there already; nothing was written", folder.display());
            return Err(Failure::usage("exists", message).hint("name another folder with --to"));
        }
        let beside = file.parent().filter(|_| file.file_name().is_some_and(|name| name == SPEC_FILE));
        let mut files = match beside {
            Some(folder) => kit::kit_files(folder).map_err(folder_failure)?,
            None => Vec::new(),
        };
        // Only what is put into the sandbox; the rest is about the other format.
        files
            .retain(|file| file.path.starts_with("files/home/") || file.path.starts_with("files/workspace/"));
        let text = imported.text.clone().into_bytes();
        files.push(KitFile { path: KIT_FILE.to_owned(), bytes: text, executable: false });
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in &files {
            write_new(&folder.join(&file.path), file)?;
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
        let checked = self.checked_kit(path)?;
        let path = self.folder.join(path);
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("/")).to_owned() };
        let files = kit::kit_files(&folder).map_err(folder_failure)?;
        let archive = kit::kit_archive(&files).map_err(folder_failure)?;
        let digest = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        let target = self
            .folder
            .join(to.map_or_else(|| PathBuf::from(format!("{}.tar", checked.name)), Path::to_owned));
        write_new(&target, &KitFile { path: String::new(), bytes: archive, executable: false })?;
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

fn folder_failure(error: KitFolderError) -> Failure {
    Failure::from_error(Kind::File, "kit_folder", &error)
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, file: &KitFile) -> Result<(), Failure> {
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        written.write_all(&file.bytes)
    };
    write().map_err(|error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::AlreadyExists { Kind::Usage } else { Kind::Failed };
        Failure::new(kind, "kit_write", format!("cannot write {}", path.display()))
            .caused_by(&error)
            .hint("name another place with --to")
    })
}
