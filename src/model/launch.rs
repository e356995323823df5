//! What a command tells the launcher and the brokers that it starts. Travels as a sealed memory file.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::name::SandboxId;

/// Name of the control socket in a sandbox's socket folder.
pub const CONTROL_SOCKET: &str = "control";

/// Version of the types here; they never outlive the build that made them, so a difference is an error.
pub const VERSION: u16 = 1;

/// The launcher's and the keeper's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeeperConfig {
    /// [`VERSION`].
    pub version: u16,
    /// Which sandbox.
    pub id: SandboxId,
    /// Where files lie.
    pub places: PlacesConfig,
    /// A kernel of the operator's choice, in place of the cached one.
    pub kernel: Option<PathBuf>,
    /// What the root file system is made of.
    pub root: RootConfig,
    /// A machine that runs one step of a template's build: without a data disk, and its processes end with the command
    /// that started it, by a pipe whose reading end follows the secrets' descriptors.
    #[serde(default)]
    pub throwaway: bool,
    /// Every audit event is on the disk before the next step.
    pub sync_each: bool,
    /// A jail that lacks a layer is refused.
    pub jail_full: bool,
    /// The emulator's program.
    pub emulator: PathBuf,
    /// Whether the KVM probe passed.
    pub hardware: bool,
    /// `$HOME` and the account's home: the floor follows both.
    pub homes: Vec<PathBuf>,
    /// `host:port` → address, from the operator.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// Certificates of further roots, PEM, from the operator.
    pub upstream_ca: Vec<String>,
    /// Names of the secrets whose sealed values follow as descriptors, in order.
    pub secrets: Vec<String>,
    /// Who started it, for the audit trail.
    pub user: String,
    /// How long the guest may take to its first answer, in seconds.
    pub boot_timeout_s: u64,
}

/// Read-only images that a root file system is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootConfig {
    /// squashfs of the template's image.
    pub image: PathBuf,
    /// Disks of the machines that ran its build steps, lowest first.
    pub layers: Vec<PathBuf>,
}

/// The directories of this installation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlacesConfig {
    /// Operator's configuration.
    pub config: PathBuf,
    /// State.
    pub state: PathBuf,
    /// Cache.
    pub cache: PathBuf,
    /// Sockets.
    pub runtime: PathBuf,
}

/// Configuration of the `broker` zone. Descriptors: an empty memory file for the value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrokerConfig {
    /// The secret's name, for messages.
    pub name: String,
    /// The operator's home, for `~/`.
    pub home: PathBuf,
    /// Where the value is.
    pub source: super::secret::SecretSource,
}
