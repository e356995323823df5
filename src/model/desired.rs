//! The desired state of one sandbox: what `kit` makes of files and command lines, resolved and absolute.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    end::End,
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

/// A kit that a sandbox was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KitUse {
    /// Its name.
    pub name: String,
    /// Where it was found, as the user knows it: `built-in`, `kits/review/kit.yaml`.
    pub source: String,
    /// SHA-256 over what was read of it, hexadecimal; none for a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How another document names it; none where only the file can in which it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<KitName>,
}

/// How a document at the repository's root names a kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KitName {
    /// Its name, or its path from that document.
    pub kit: String,
    /// The arguments that it is given: texts, whole numbers, true and false.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, serde_json::Value>,
}

/// The client in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Name of its kit.
    pub kit: String,
    /// How a document names the kit, where that is not by its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<KitName>,
    /// Program and arguments of an interactive session.
    pub command: Vec<String>,
    /// Program and arguments that carry out a task, with `${{ task.prompt }}` where the prompt goes; none where the
    /// client cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Vec<String>>,
    /// Program and arguments that go on with the last session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Vec<String>>,
    /// Whether an interactive session has a terminal; by default it has one where the caller has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
}

/// The root file system: an image, and what is built on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Built-in base's name.
    pub image: String,
    /// Distribution packages, sorted, each once.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Versions that `sandbox.lock` pins, by name: of these packages, and of those that stand for the base. One that has
    /// none here is built in the version that is to be had then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// Commands that change it, in order: the agent's `install`, the mixins', the sandbox's `run`. Each runs as root in
    /// a throw-away machine under the sandbox's rules, without a secret.
    #[serde(default)]
    pub steps: Vec<BuildStep>,
}

/// One command that changes the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildStep {
    /// Text for `sh -c`.
    pub run: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A file in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Absolute path, or one below the agent's home as `~/…`.
    pub path: String,
    /// Its bytes, or the JSON object that is merged into what is there.
    #[serde(with = "base64_bytes")]
    pub content: Vec<u8>,
    /// How it joins a file that is there.
    #[serde(default)]
    pub merge: FileMerge,
    /// Whether `${{ secrets.NAME.placeholder }}` and `${{ secrets.NAME.placeholder.last20 }}` in the content are replaced
    /// at each start, when placeholders exist: so in what a kit writes out, never in a file that is copied.
    #[serde(default)]
    pub placeholders: bool,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where it stands.
    pub origin: Origin,
}

/// How a file joins one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileMerge {
    /// Takes its place.
    #[default]
    Replace,
    /// Key by key (RFC 7396, JSON merge patch).
    Json,
}

/// Commands in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Setup {
    /// Once per system disk, in order; the agent starts when all have succeeded.
    pub create: Vec<SetupStep>,
    /// At each start, in order.
    pub start: Vec<SetupStep>,
}

/// One command in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupStep {
    /// Name in logs; the command's first words unless written.
    pub name: String,
    /// Text for `sh -c`.
    pub run: String,
    /// Longest time it may take; in the background, until it is ready.
    pub timeout_s: u64,
    /// Keeps running beside the agent.
    #[serde(default)]
    pub background: bool,
    /// A background command is ready when this port of the guest's loopback answers; else at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_port: Option<u16>,
    /// Where it stands.
    pub origin: Origin,
}

/// Longest prompt of a task, in bytes: Linux takes no argument above 128 KiB (`MAX_ARG_STRLEN`).
pub const PROMPT_MAX: usize = 120 * 1024;

/// What an agent does without a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The text that its command is given, as one argument: not blank, without a NUL byte, of at most [`PROMPT_MAX`].
    pub prompt: String,
    /// The file that it was read from, from the repository's root; none where the document holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Longest time it may take; as long as it needs unless written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

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

/// Bytes as base64 in text formats.
mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
