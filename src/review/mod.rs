//! Git, read for review: what a repository's objects hold, and nothing that its configuration says.
//!
//! Only the folder of objects is opened, where it holds regular files and nothing that leads elsewhere. No configuration,
//! attribute, filter, hook, index or reference is looked at by the library, so nothing of a repository that an agent wrote has a say in how it is read, who owns it does not
//! matter, and nothing is ever run. Which commit is meant is `kit::Repository`'s to say.

mod ancestry;
mod objects;
pub mod signed;
#[cfg(test)]
pub(crate) mod signing;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};
use jiff::Timestamp;

pub use signed::{Check, Checks, SignatureError};
pub use tree::CommitTree;

use crate::model::signer::Signer;

/// Largest commit, tag or folder that is read, in bytes.
const OBJECT_MAX: usize = 64 << 20;
/// Longest chain of tags that point at tags.
const TAGS_MAX: usize = 8;

/// Length of an object's name where SHA-256 makes it.
const SHA256_DIGITS: usize = 64;
/// Largest list of tracked files that is read, in bytes: some 500,000 of them.
const INDEX_MAX: u64 = 64 << 20;

/// Whether git tracks the file at `path`, from the root of the working tree whose index this is. An index that cannot be
/// read tracks nothing: this is for advice.
#[must_use]
pub fn is_tracked(index: &Path, path: &Path) -> bool {
    let readable = index.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() <= INDEX_MAX);
    readable && git2::Index::open(index).is_ok_and(|index| index.get_path(path, 0).is_some())
}

/// Why history does not answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The objects cannot be opened.
    #[error("the repository's objects cannot be read")]
    Open(#[source] git2::Error),
    /// Some of them lie in another folder, which whoever wrote the file chose.
    #[error("{} names other folders of objects, which are not read", .0.display())]
    Elsewhere(PathBuf),
    /// Something among them is a link, a pipe or a device, or there are too many.
    #[error("{} is no regular file or folder of objects", .0.display())]
    Special(PathBuf),
    /// There is no such object.
    #[error("the commit {0} is not in this repository")]
    Missing(String),
    /// Several objects begin so.
    #[error("several objects begin with {0}; write more of the id")]
    Ambiguous(String),
    /// It is something else.
    #[error("{0} is no commit")]
    NoCommit(String),
    /// Its objects have names of 64 digits.
    #[error("this repository names its objects by SHA-256, which is not read yet")]
    Sha256,
    /// Two commits have no ancestor in common, as far as history goes back here.
    #[error("{0} and {1} have no commit in common here")]
    Unrelated(String, String),
    /// Something in it cannot be read.
    #[error("history cannot be read")]
    Broken(#[source] git2::Error),
}

/// Why nobody that counts has signed a commit.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// It cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// None of the signers did.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The commits of a repository.
pub struct History {
    repository: Rc<Repository>,
}

impl History {
    /// Opens the objects of the repository whose common directory is `common_dir`.
    ///
    /// # Errors
    /// When they cannot be opened, or do not all lie there.
    pub fn open(common_dir: &Path) -> Result<Self, HistoryError> {
        let objects = common_dir.join("objects");
        let objects = objects.to_str().ok_or_else(|| {
            HistoryError::Open(git2::Error::from_str("the path of the repository is not UTF-8"))
        })?;
        objects::check(&common_dir.join("objects"))?;
        let odb = Odb::new().map_err(HistoryError::Open)?;
        odb.add_disk_alternate(objects).map_err(HistoryError::Open)?;
        let repository = Repository::from_odb(odb).map_err(HistoryError::Open)?;
        Ok(Self { repository: Rc::new(repository) })
    }

    /// The commit that `id` names, tags followed, and so many first parents back.
    ///
    /// # Errors
    /// When there is none.
    pub fn commit(&self, id: &str, back: usize) -> Result<String, HistoryError> {
        if id.len() == SHA256_DIGITS {
            return Err(HistoryError::Sha256);
        }
        let mut oid = Oid::from_str(id).map_err(|_| HistoryError::NoCommit(id.to_owned()))?;
        for _ in 0..TAGS_MAX {
            match self.kind(oid)? {
                ObjectType::Commit => return self.ancestor(oid, back),
                ObjectType::Tag => {
                    oid = self.repository.find_tag(oid).map_err(HistoryError::Broken)?.target_id();
                }
                _ => break,
            }
        }
        Err(HistoryError::NoCommit(id.to_owned()))
    }

    fn ancestor(&self, mut oid: Oid, back: usize) -> Result<String, HistoryError> {
        for _ in 0..back {
            let commit = self.repository.find_commit(oid).map_err(HistoryError::Broken)?;
            oid = commit.parent_id(0).map_err(|_| HistoryError::Missing(format!("{oid}~1")))?;
            self.kind(oid)?;
        }
        Ok(oid.to_string())
    }

    fn kind(&self, oid: Oid) -> Result<ObjectType, HistoryError> {
        let odb = self.repository.odb().map_err(HistoryError::Broken)?;
        match odb.read_header(oid) {
            Ok((size, _)) if size > OBJECT_MAX => {
                Err(HistoryError::Broken(git2::Error::from_str("an object is larger than any should be")))
            }
            Ok((_, kind)) => Ok(kind),
            Err(error) if error.code() == ErrorCode::NotFound => Err(HistoryError::Missing(oid.to_string())),
            Err(error) => Err(HistoryError::Broken(error)),
        }
    }

    /// When the commit says that it was made. Whoever made it chose that.
    ///
    /// # Errors
    /// When it cannot be read, or names no time that there is.
    pub fn time(&self, commit: &str) -> Result<Timestamp, HistoryError> {
        let oid = Oid::from_str(commit).map_err(|_| HistoryError::NoCommit(commit.to_owned()))?;
        self.kind(oid)?;
        let seconds = self.repository.find_commit(oid).map_err(HistoryError::Broken)?.time().seconds();
        Timestamp::from_second(seconds)
            .map_err(|_| HistoryError::Broken(git2::Error::from_str("a commit names no time that there is")))
    }

    /// The object that the beginning of an id names; none where nothing begins so.
    ///
    /// # Errors
    /// When several begin so, or the objects cannot be read.
    pub fn abbreviated(&self, beginning: &str) -> Result<Option<String>, HistoryError> {
        let Ok(short) = Oid::from_str(beginning) else { return Ok(None) };
        let odb = self.repository.odb().map_err(HistoryError::Broken)?;
        match odb.exists_prefix(short, beginning.len()) {
            Ok(whole) => Ok(Some(whole.to_string())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) if error.code() == ErrorCode::Ambiguous => {
                Err(HistoryError::Ambiguous(beginning.to_owned()))
            }
            Err(error) => Err(HistoryError::Broken(error)),
        }
    }

    /// The one of `signers` who signed the commit.
    ///
    /// # Errors
    /// When none of them did, or it cannot be read.
    pub fn signer(&self, commit: &str, signers: &[Signer], checks: Checks) -> Result<Signer, SignerError> {
        let content = self.content(commit)?;
        Ok(signed::signer_of(&content, signers, checks)?)
    }

    /// What the commit's object holds; the library has held it against its name.
    fn content(&self, commit: &str) -> Result<Vec<u8>, HistoryError> {
        let oid = Oid::from_str(commit).map_err(|_| HistoryError::NoCommit(commit.to_owned()))?;
        if self.kind(oid)? != ObjectType::Commit {
            return Err(HistoryError::NoCommit(commit.to_owned()));
        }
        let odb = self.repository.odb().map_err(HistoryError::Broken)?;
        Ok(odb.read(oid).map_err(HistoryError::Broken)?.data().to_vec())
    }

    /// The files of a commit, as if they lay at `root`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn files(&self, commit: &str, root: &Path) -> Result<CommitTree, HistoryError> {
        let oid = Oid::from_str(commit).map_err(|_| HistoryError::NoCommit(commit.to_owned()))?;
        self.kind(oid)?;
        let tree = self.repository.find_commit(oid).map_err(HistoryError::Broken)?.tree_id();
        self.kind(tree)?;
        Ok(CommitTree::new(self.repository.clone(), commit.to_owned(), tree, root.to_owned()))
    }
}
