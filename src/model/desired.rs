//! The desired state of one sandbox: what `kit` makes of files and command lines, resolved and absolute.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    name::Name,
    rule::{HostService, NetworkRule, Origin},
    secret::SecretBinding,
    unit::Bytes,
};

/// One sandbox as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// Its name.
    pub name: Name,
    /// Labels, for people and selectors.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which client runs in it.
    pub agent: Agent,
    /// Built-in base template's name.
    pub template: String,
    /// The folder that the agent works on.
    pub workspace: Option<Workspace>,
    /// Further host folders.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Working directory in the guest, absolute; default: the workspace, else the agent's home.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// Environment in the guest, without the variables that we set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Network rules.
    pub network: Network,
    /// Secrets by reference.
    #[serde(default)]
    pub secrets: Vec<SecretBinding>,
    /// CPUs, memory, disk.
    pub resources: Resources,
    /// Whether a machine without hardware virtualisation will do.
    pub isolation: IsolationWish,
    /// Which file said all this.
    pub provenance: Provenance,
}

/// The client in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Name of its kit.
    pub kit: String,
    /// Program and arguments of an interactive session.
    pub command: Vec<String>,
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

/// Network rules of one sandbox, in the repository's layer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The preset below the rules.
    #[serde(default)]
    pub preset: Preset,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<NetworkRule>,
    /// Services of the host.
    #[serde(default)]
    pub host_services: Vec<HostService>,
}

/// Named sets of rules to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Nothing but the rules.
    #[default]
    LockedDown,
    /// Model providers and code hosts, read-mostly.
    Balanced,
    /// Every public name over HTTP and HTTPS.
    Open,
}

/// Ceilings of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Virtual CPUs.
    pub cpus: u8,
    /// Guest memory.
    pub memory: Bytes,
    /// Size of the data disk.
    pub disk: Bytes,
}

/// What the file demands of the machine boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IsolationWish {
    /// Emulation will do where hardware virtualisation cannot run a guest.
    #[default]
    EmulationOk,
    /// Only hardware virtualisation; refused elsewhere.
    Hardware,
}

/// Where a desired state comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The file, as the user named it.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// SHA-256 of its bytes, hexadecimal.
    #[serde(default)]
    pub file_digest: Option<String>,
    /// Commit that was checked out, when the file lies in a repository.
    #[serde(default)]
    pub commit: Option<String>,
}
