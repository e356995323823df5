//! What there is on this host: sandboxes, their ports, templates, secrets.

use std::path::PathBuf;

use serde::Serialize;

use crate::{cli::args::Publish, model::desired::Sandbox};

/// A sandbox of this user.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub id: String,
    /// Its desired state as it was applied.
    pub desired: Sandbox,
    /// Its keeper's control socket; nobody listens there while it is stopped.
    pub socket: PathBuf,
    /// The guest's console log.
    pub console_log: PathBuf,
    /// Output of its set-up.
    pub setup_log: PathBuf,
    /// Its audit trail.
    pub audit: PathBuf,
}

/// A change to the ports that commands publish for one sandbox; empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortEdit {
    /// Published.
    pub publish: Vec<Publish>,
    /// Ports of the guest that are withdrawn.
    pub withdraw: Vec<u16>,
}

/// A template that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltTemplate {
    /// The sandbox that asks for it.
    pub sandbox: String,
    /// Key of its image.
    pub image: String,
    /// Keys of what its steps changed, lowest first.
    pub layers: Vec<String>,
}

/// One line of `template ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptTemplate {
    /// Its key.
    pub key: String,
    /// `base`, `packages`, `steps`, or `damaged`.
    pub kind: &'static str,
    /// Packages with their versions, or the steps' commands; `current` for the base that is.
    pub holds: Vec<String>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Sandboxes of this user whose system disks stand on it.
    pub used_by: Vec<String>,
}

/// One line of `secret ls`. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretListing {
    /// Its name.
    pub name: String,
    /// Where its value comes from, in words.
    pub source: String,
    /// Whether there is a value now; none where only running a command would tell.
    pub present: Option<bool>,
}
