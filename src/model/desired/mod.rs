//! The desired state of one sandbox: what `kit` makes of files and command lines, resolved and absolute.

mod agent;
mod guest;
mod host;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    end::End,
    name::Name,
    rule::{HostService, NetworkRule, Origin},
    secret::SecretBinding,
    unit::Bytes,
};

pub use agent::{Agent, BuildStep, KitName, KitUse, Template};
pub use guest::{AGENT_HOME, File, FileMerge, PROMPT_MAX, Setup, SetupStep, Task};
pub use host::{Access, Mount, Port, Workspace, WorkspaceMode};

/// One sandbox as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// Its name.
    pub name: Name,
    /// Labels, for people and selectors.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether `apply` keeps one instance of it.
    #[serde(default)]
    pub start: Start,
    /// Which client runs in it.
    pub agent: Agent,
    /// Kits that it was made of: the agent's, unless it is a built-in one, then mixins in order.
    #[serde(default)]
    pub kits: Vec<KitUse>,
    /// Root file system.
    pub template: Template,
    /// The folder that the agent works on.
    pub workspace: Option<Workspace>,
    /// Further host folders.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Working directory in the guest, absolute; default: the workspace, else the agent's home.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// Environment in the guest, without the variables that we set. `${{ secrets.NAME.placeholder }}` and
    /// `${{ secrets.NAME.placeholder.last20 }}` in a value are replaced at each start, when placeholders exist.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files put into the guest at each start, before anything of the agent runs.
    #[serde(default)]
    pub files: Vec<File>,
    /// Commands in the guest, as the agent's user, under this policy.
    #[serde(default)]
    pub setup: Setup,
    /// What its agent does without a person, where nothing else is asked of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Network rules.
    pub network: Network,
    /// Secrets by reference.
    #[serde(default)]
    pub secrets: Vec<SecretBinding>,
    /// Ports of the guest on the host's loopback.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// CPUs, memory, disk.
    pub resources: Resources,
    /// Whether a machine without hardware virtualisation will do.
    pub isolation: IsolationWish,
    /// Which file said all this.
    pub provenance: Provenance,
    /// Where single fields were set, by their path in `spec` (`agent.command`, `env.NODE_ENV`, `resources.memory`):
    /// the entry whose value won. Lists carry the origin in each entry instead.
    #[serde(default)]
    pub origins: BTreeMap<String, Origin>,
}

#[cfg(test)]
impl Sandbox {
    /// One without anything that can be left out, for tests to build on.
    pub(crate) fn smallest(name: &str) -> Self {
        Self {
            name: name.parse().expect("a test's name is right"),
            labels: BTreeMap::new(),
            start: Start::Always,
            agent: Agent {
                kit: "shell".into(),
                written: None,
                command: vec!["bash".into()],
                task: None,
                resume: None,
                tty: None,
            },
            kits: Vec::new(),
            template: Template {
                image: "debian-12".into(),
                packages: Vec::new(),
                versions: BTreeMap::new(),
                steps: Vec::new(),
            },
            workspace: None,
            mounts: Vec::new(),
            working_dir: None,
            env: BTreeMap::new(),
            files: Vec::new(),
            setup: Setup::default(),
            task: None,
            network: Network::default(),
            secrets: Vec::new(),
            ports: Vec::new(),
            resources: Resources { cpus: 2, memory: Bytes::gib(1), disk: Bytes::gib(4) },
            isolation: IsolationWish::EmulationOk,
            provenance: Provenance::default(),
            origins: BTreeMap::new(),
        }
    }
}

/// Whether `apply` keeps an instance of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// One, of the definition's name.
    #[default]
    Always,
    /// None; `run` makes one.
    OnDemand,
}

/// Network rules of one sandbox, in the repository's layer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The preset below the rules.
    #[serde(default)]
    pub preset: Preset,
    /// From when on the preset is `locked-down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset_until: Option<End>,
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
