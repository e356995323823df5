//! What of the host a sandbox has: folders and ports.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::rule::Origin;

/// A port of the guest on the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Port in the guest, also where only its loopback listens.
    pub guest: u16,
    /// Port on `127.0.0.1`; any free one unless written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
    /// Whether another one will not do.
    #[serde(default)]
    pub fixed: bool,
    /// Where it stands.
    pub origin: Origin,
}

/// How a workspace enters the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkspaceMode {
    /// The agent writes the host's folder, under the guard of the file server.
    Direct,
    /// Read-only, enforced by the file server.
    Read,
}

/// The folder that the agent works on; it lies at the same absolute path inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// How it enters.
    pub mode: WorkspaceMode,
    /// Where that stands.
    pub origin: Origin,
}

/// Who may write a mounted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// Read-only, enforced by the file server.
    Read,
    /// Read and write.
    Write,
}

/// A host folder in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the guest.
    pub target: String,
    /// Who may write.
    pub access: Access,
    /// Why.
    pub why: String,
    /// Where that stands.
    pub origin: Origin,
}
