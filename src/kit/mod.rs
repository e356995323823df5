//! The files that a team commits: YAML → checked → model, and the schemas that editors use.
//!
//! ```text
//! discover ─ bytes ─▶ parse ─ tree with places ─▶ document ─ wire types ─▶ resolve ─▶ model::desired::Sandbox
//!                    (YAML,    scalar, tree)       │  validate ◀ shape ◀ schema ◀ wire
//!                     bounds)                      └─ de, spanned
//! ```
//!
//! Pure but for `discover`, `repository` and the look at whether a folder exists. Reads no environment, no clock
//! and no network; runs nothing. Holds no state. Read in this order: `parse`, `validate`, `document`, `resolve`,
//! `load`.
//!
//! What makes a file safe to read although an agent may have written it: bounds on size, depth and number
//! (`parse`, `discover`), no link followed, control characters never shown (`problem`), and nothing in it that
//! names a place of a secret or a program of the host.
//!
//! To add a key: its type and comment in `wire`, its meaning in `resolve`, an example in `tests/data/kit`; then
//! run the tests with `COFFERDAM_UPDATE=1` to renew schemas and transcripts. A part of the format that is not
//! carried out yet is `wire::later::Later`, which the validator refuses with its line.

mod approvals;
mod archive;
mod beside;
mod builtin;
mod config;
mod de;
mod discover;
pub mod docker;
mod document;
pub mod draft;
mod elsewhere;
pub mod explain;
pub mod export;
mod findings;
mod git_config;
pub mod import;
mod lints;
mod load;
mod lock;
mod merge;
mod near;
mod parse;
mod problem;
mod repository;
mod resolve;
mod rule;
mod scalar;
mod schema;
mod sets;
mod shape;
mod shelf;
mod source;
mod spanned;
mod stack;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod typed;
mod validate;
mod wire;

pub use approvals::{APPROVALS_KIND, CommittedApprovals, approvals};
pub use archive::{
    ARCHIVE_MAX, ArchiveError, ArchiveTree, KitFile, KitFolderError, is_archive, kit_archive, kit_files,
    kit_files_in, kit_files_of,
};
pub use builtin::{has_agent, has_service, service_variable, service_variables};
pub use config::{ConfigContext, ConfigError, config};
pub use discover::{Checkout, DiscoverError, Selection, Snapshot, Tree, read_file};
pub use document::KIT_FILE;
pub use elsewhere::{Elsewhere, GitSource, GitSourceError, KitStore, Pin};
pub use git_config::GitConfig;
pub use lints::too_wide;
pub use load::{Context, LoadError, Loaded, LockUse, kits_in, load, lock_beside, sandboxes_in};
pub use lock::{
    LOCK_FILE, Lock, LockChange, Locked, LockedKit, LockedPackage, LockedSource, read as read_lock,
};
pub(crate) use near::similar;
pub use parse::{FILE_MAX, is_yaml};
pub use problem::{Code, Problem, Source, Span, Wanted};
pub use repository::Repository;
pub use schema::{SchemaName, schema, schema_text};
pub use sets::{Expansion, Member, Trouble, named_set};
pub use typed::{COMMAND_LINE, Pointed, pointed};
