//! What files say: documents, kits, the lock file, and two commits of a repository.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::failure::Failure,
    kit::LockChange,
    model::{desired::Sandbox, name::Name},
    plan::{PlanInput, grant::GrantSet},
};

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
    /// The earlier one as if it ran, the later one as what shall be.
    pub input: PlanInput,
    /// Of the later files.
    pub warnings: Vec<String>,
    /// What the later commit's own file of approvals covers, by definition.
    pub approved: std::collections::BTreeMap<Name, GrantSet>,
}
