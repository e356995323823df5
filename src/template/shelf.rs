//! What the cache keeps, for people: listed, removed, and found again by the names that a sandbox has noted.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    base::{self, BaseTemplate},
    cache::{Cache, EnsureError},
    image::{self, Image},
    layer::{self, Layer},
    progress::Progress,
};
use crate::model::template::{ImageId, Stack};

/// What something kept is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptKind {
    /// A base; whether new sandboxes stand on it.
    Base {
        /// Whether it is the one that new sandboxes get.
        current: bool,
    },
    /// The base with packages, `name=version` each.
    Packages(Vec<String>),
    /// What these steps changed.
    Steps(Vec<String>),
    /// Damaged: of no use to anybody.
    Damaged,
}

/// Something that the cache keeps.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Digest or key.
    pub key: String,
    /// What it is.
    pub kind: KeptKind,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// When it was made.
    pub created: Option<SystemTime>,
    folder: PathBuf,
}

/// The files of a [`Stack`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// squashfs of the image.
    pub image: PathBuf,
    /// Disks, lowest first.
    pub layers: Vec<PathBuf>,
}

impl Cache {
    /// The files of a stack; `None` when one of them is missing or damaged.
    #[must_use]
    pub fn files(&self, stack: &Stack) -> Option<Files> {
        let image = match &stack.image {
            ImageId::Base(digest) => self.base_image(digest)?,
            ImageId::Packages(key) => Image::find(self, key)?.image(),
        };
        let layer = |key: &String| Some(Layer::find(self, key)?.disk());
        Some(Files { image, layers: stack.layers.iter().map(layer).collect::<Option<_>>()? })
    }

    /// A base by its digest, the current one or an earlier one that is still there.
    fn base_image(&self, digest: &str) -> Option<PathBuf> {
        if let Some(current) = BaseTemplate::find(self).filter(|current| current.digest() == digest) {
            return Some(current.image());
        }
        let path = self.folder(base::KIND, digest)?.join(base::IMAGE);
        fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()).then_some(path)
    }

    /// Everything that is kept, bases first, then by time.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn kept(&self) -> Result<Vec<Kept>, EnsureError> {
        let current = BaseTemplate::find(self);
        let mut kept = Vec::new();
        for kind in [base::KIND, image::KIND, layer::KIND] {
            let path = self.root().join(kind);
            let failed = |source| EnsureError::Cache { path: path.clone(), source };
            let mut found = Vec::new();
            for entry in fs::read_dir(&path).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                let Some(folder) = name.to_str().and_then(|key| self.folder(kind, key)) else { continue };
                let key = name.to_string_lossy().into_owned();
                let what = match kind {
                    base::KIND => {
                        let current = current.as_ref().is_some_and(|current| current.digest() == key);
                        Some(KeptKind::Base { current })
                    }
                    image::KIND => Image::find(self, &key).map(|image| {
                        let word = |package: &image::Package| format!("{}={}", package.name, package.version);
                        KeptKind::Packages(image.packages().iter().map(word).collect())
                    }),
                    _ => Layer::find(self, &key).map(|layer| KeptKind::Steps(layer.record().steps.clone())),
                };
                let (bytes, created) = measure(&folder);
                found.push(Kept { key, kind: what.unwrap_or(KeptKind::Damaged), bytes, created, folder });
            }
            found.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
            kept.extend(found);
        }
        Ok(kept)
    }

    /// Removes what is kept under `kept`, in one step each. A machine that has it open goes on.
    ///
    /// # Errors
    /// When the cache cannot be written; what went before stays gone.
    pub fn remove(&self, kept: &[Kept], progress: &dyn Progress) -> Result<(), EnsureError> {
        let _lock = self.lock(progress)?;
        for one in kept {
            let trash = self.building()?;
            let remove = || match fs::rename(&one.folder, trash.path().join("it")) {
                // Another command was first.
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
            remove().map_err(|source| EnsureError::Cache { path: one.folder.clone(), source })?;
        }
        Ok(())
    }
}

/// Bytes on the disk, and the time of the youngest file.
fn measure(folder: &Path) -> (u64, Option<SystemTime>) {
    let files =
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
    files.fold((0, None), |(bytes, created), meta| {
        (bytes + meta.blocks() * 512, created.max(meta.modified().ok()))
    })
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
