//! What files say: documents, kits, the lock file, and two commits of a repository.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::failure::Failure,
    kit::{Expansion, LockChange},
    model::{desired::Sandbox, name::Name, rule::Effect},
    plan::{Plan, grant::GrantSet},
};

/// What files say, and what they name.
pub trait Documents {
    /// The working directory, absolute: where relative paths of a command line start.
    fn folder(&self) -> &Path;

    /// Reads and checks documents; changes nothing and needs no host.
    ///
    /// # Errors
    /// Every finding, as one failure of kind [`crate::cli::failure::Kind::File`].
    fn check(&self, source: &Source) -> Result<Checked, Failure>;

    /// From now on registries and kits are only what `sandbox.lock` pins: what it lacks, or has otherwise, is an error.
    fn demand_locked(&self);

    /// What a named set (`registry:npm`) is on this host, for a rule of the command line.
    ///
    /// # Errors
    /// Kind `Usage` when there is no such set, `HostLacks` when nothing here says where the registry is.
    fn named_set(&self, kind: &str, name: &str, effect: Effect) -> Result<Expansion, Failure>;

    /// Resolves anew what `sandbox.lock` pins, kits elsewhere among it, and writes the file when that is wished and it
    /// differs. Where nothing may be resolved anew, it only fetches what is pinned.
    ///
    /// # Errors
    /// Findings; a registry that nothing here knows; a source that cannot be fetched; a file that cannot be written.
    fn update_lock(&self, source: &Source, wish: &UpdateWish<'_>) -> Result<LockUpdate, Failure>;

    /// Whether a sandbox of this name is defined in the files that a command without `-f` would read.
    fn is_defined(&self, name: &str) -> bool;

    /// Whether there is an agent kit of this name.
    fn has_agent_kit(&self, name: &str) -> bool;

    /// The published JSON Schemas: file name and content.
    fn schemas(&self) -> Vec<(&'static str, String)>;
}

/// Kits as folders and archives.
pub trait Kits {
    /// Checks a kit, ours or one of Docker Sandboxes; changes nothing.
    ///
    /// # Errors
    /// Every finding.
    fn check_kit(&self, path: &Path) -> Result<CheckedKit, Failure>;

    /// Writes a kit of Docker Sandboxes as one of ours, below `to`, else `kits/NAME`.
    ///
    /// # Errors
    /// Every finding; a folder that is there already.
    fn import_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure>;

    /// Puts a kit into an archive, `to`, else `NAME.tar`.
    ///
    /// # Errors
    /// Every finding; a file that is there already.
    fn pack_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure>;
}

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `-f` with a file or folder.
    Path(PathBuf),
    /// `-f -`.
    Stdin,
    /// No `-f`: `sandbox.yaml`, else `.cofferdam/`, upwards to the repository's root.
    Search,
    /// A text that this program itself proposes, as if it lay in the working directory.
    Text(String),
    /// A command line, as the document that it stands for.
    CommandLine(Box<Value>),
}

/// A checked set of documents.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// The sandboxes in it.
    pub sandboxes: Vec<Sandbox>,
    /// What is right but worth a look.
    pub warnings: Vec<String>,
}

/// A kit that is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedKit {
    /// `Agent` or `Mixin`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whose format it is in.
    pub format: String,
    /// What is not carried over, or worth a look.
    pub reports: Vec<String>,
    /// What was fetched to see it, in words.
    pub fetched: Vec<String>,
}

/// What `kit import` or `kit pack` wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenKit {
    /// The kit's name.
    pub name: String,
    /// The folder, or the archive.
    pub path: PathBuf,
    /// Its files, from the kit's folder.
    pub files: Vec<String>,
    /// What is not carried over, or worth a look.
    pub reports: Vec<String>,
    /// SHA-256 of the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What `update` is to do.
pub struct UpdateWish<'a> {
    /// Whether the lock file is written.
    pub write: bool,
    /// Asked before sources are fetched that the lock file does not have; its failure ends the command.
    pub may_fetch: &'a dyn Fn(&[String]) -> Result<(), Failure>,
}

/// What `update` finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockUpdate {
    /// The lock file.
    pub path: PathBuf,
    /// What is otherwise now.
    pub changes: Vec<LockChange>,
    /// What follows from it, in words: `dev: allow GET,HEAD packages.example (sandbox.yaml:9)`, and grants of kits.
    pub consequences: Vec<String>,
    /// Kits that were fetched, in words.
    pub fetched: Vec<String>,
    /// Whether the file was written.
    pub written: bool,
}

/// Two commits of a repository: what the files of both say, and what was approved in the later one.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What differs.
    pub plan: Plan,
    /// Files that were read and say something else in the working tree.
    pub edited: Vec<String>,
    /// Of the later files.
    pub warnings: Vec<String>,
    /// What the later commit's own file of approvals covers, by definition.
    pub approved: std::collections::BTreeMap<Name, GrantSet>,
}
