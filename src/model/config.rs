//! The operator's configuration: what touches the host. No repository's file can say any of it.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{registry::RegistryUrl, remote::RemoteName, secret::SecretSource, signer::Signer};

/// The operator's configuration, checked; paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OperatorConfig {
    /// What runs the machines.
    pub engine: EngineChoice,
    /// The guests' kernel.
    pub kernel: KernelChoice,
    /// How long a guest may take to its first answer, where the operator says.
    pub boot_timeout: Option<std::time::Duration>,
    /// How strictly inner processes are confined.
    pub jail: JailDemand,
    /// How requests leave the host.
    pub egress: EgressConfig,
    /// Secrets that do not lie in the store, by name.
    pub secret_sources: BTreeMap<String, SecretSource>,
    /// What `registry:NAME` means, where the operator says so.
    pub registries: BTreeMap<String, Vec<RegistryUrl>>,
    /// When an audit event counts as durable.
    pub audit_sync: AuditSync,
    /// What needs no question, and what `--yes` answers.
    pub approvals: ApprovalsConfig,
}

/// What needs no question, and what `--yes` answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalsConfig {
    /// What `--yes` approves.
    pub yes: YesApproves,
    /// Grants that need no question.
    pub baseline: Vec<WrittenGrant>,
    /// Grants that `--yes` never approves.
    pub never: Vec<WrittenGrant>,
    /// Signed refs whose committed approvals count.
    pub trust: Vec<TrustedRef>,
}

/// A ref whose committed approvals count in one repository, as long as a signer has signed its tip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRef {
    /// Its whole name: `refs/remotes/origin/main`.
    pub reference: String,
    /// The repository: what its clone came from, and what the file says that it is of.
    pub repository: RemoteName,
    /// Whose signatures count.
    pub signers: Vec<Signer>,
    /// Only this commit and what descends from it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What `--yes` approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum YesApproves {
    /// All but what shows a program a secret's value, and [`ApprovalsConfig::never`].
    #[default]
    Personal,
    /// Nothing: each grant is approved by name.
    None,
    /// Everything.
    Any,
}

/// A grant as it stands in the configuration; `plan` knows what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenGrant {
    /// Canonical text.
    pub text: String,
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in that line, from 1.
    pub column: u32,
}

/// What runs the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EngineChoice {
    /// The best that this host can run.
    #[default]
    Auto,
    /// QEMU, with KVM where that works.
    Qemu,
}

/// The guests' kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KernelChoice {
    /// What is there, the tuned one first.
    #[default]
    Auto,
    /// The distribution's.
    Stock,
    /// This image.
    Path(PathBuf),
}

/// How strictly inner processes are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JailDemand {
    /// What needs no privilege, and what more the host offers.
    #[default]
    Auto,
    /// Everything; a host that lacks a layer is refused.
    Full,
}

/// How requests leave the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressConfig {
    /// `host:port` (lower-case A-labels) to address, in place of a look-up; exempt from the address floor.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// Files of further certification authorities, PEM.
    pub upstream_ca: Vec<PathBuf>,
}

/// When an audit event counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditSync {
    /// Written outside egress; on disk within 100 ms.
    #[default]
    Group,
    /// On disk, each of them.
    Each,
}
