//! Kind Sandbox: how agents run in this repository.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    guest::{File, Port, Setup, Task},
    kitref::KitRef,
    later::{Caches, Later, Lifecycle, Mcp, PolicyTest, Uncommitted},
    network::Network,
    secret::Secret,
    text::{EnvName, PackageName, Reason, Size},
};
use crate::kit::spanned::Spanned;

/// How agents run in this repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SandboxSpec")]
pub(in crate::kit) struct Sandbox {
    /// Whether `apply` keeps one instance running.
    #[serde(default)]
    pub(in crate::kit) start: Option<Spanned<Start>>,
    /// The client that runs in it: a kit's name, or `{kit: …, args: …}`.
    #[schemars(required)]
    pub(in crate::kit) agent: Option<KitRef>,
    /// Program and arguments in place of the agent's own.
    #[serde(default)]
    #[schemars(schema_with = "super::command::program")]
    pub(in crate::kit) command: Option<Vec<Spanned<String>>>,
    /// Appended to the agent's command.
    #[serde(default)]
    #[schemars(schema_with = "super::command::arguments")]
    pub(in crate::kit) args: Vec<Spanned<String>>,
    /// Whether an interactive session has a terminal; unless written it has one where the caller has.
    #[serde(default)]
    pub(in crate::kit) tty: Option<Spanned<bool>>,
    /// Mixins, in order.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub(in crate::kit) kits: Vec<KitRef>,
    /// Root file system.
    #[serde(default)]
    pub(in crate::kit) template: Template,
    /// The folder that the agent works on.
    #[serde(default)]
    pub(in crate::kit) workspace: Option<Spanned<Workspace>>,
    /// Further folders to work on.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    workspaces: Option<Later<Vec<Workspace>>>,
    /// Where sessions begin, from the workspace.
    #[serde(default)]
    pub(in crate::kit) working_dir: Option<Spanned<String>>,
    /// Further host folders.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub(in crate::kit) mounts: Vec<Spanned<Mount>>,
    /// Environment variables.
    #[serde(default)]
    #[schemars(extend("x-form" = "a variable's name has letters, digits and underscores, and begins with no digit"))]
    pub(in crate::kit) env: BTreeMap<EnvName, Spanned<String>>,
    /// Files to put in.
    #[serde(default)]
    pub(in crate::kit) files: Vec<Spanned<File>>,
    /// Commands in the sandbox, as the agent's user, under this policy.
    #[serde(default)]
    pub(in crate::kit) setup: Setup,
    /// Folders of the sandbox's own that survive *replace*.
    #[serde(default)]
    #[schemars(extend("x-form" = "a name has 1 to 63 lower-case letters, digits and inner hyphens"))]
    #[expect(dead_code, reason = "refused until it is carried out")]
    caches: Option<Later<Caches>>,
    /// What the sandbox may reach. Nothing is reachable that no rule allows.
    #[serde(default)]
    pub(in crate::kit) network: Network,
    /// Secrets that the agent may use without seeing them.
    #[serde(default)]
    pub(in crate::kit) secrets: Vec<Spanned<Secret>>,
    /// MCP servers.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    mcp: Option<Later<Mcp>>,
    /// Ports of the sandbox on the host's loopback.
    #[serde(default)]
    pub(in crate::kit) ports: Vec<Spanned<Port>>,
    /// The size of the machine.
    #[serde(default)]
    pub(in crate::kit) resources: Resources,
    /// Whether a machine without hardware virtualisation will do.
    #[serde(default)]
    pub(in crate::kit) isolation: Option<Spanned<Isolation>>,
    /// When it stops and goes.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    lifecycle: Option<Later<Lifecycle>>,
    /// What the agent does without a person: `run` carries it out where no other task and no arguments are given.
    #[serde(default)]
    pub(in crate::kit) task: Option<Task>,
    /// Questions to the policy and the answers it must give.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    tests: Option<Later<Vec<PolicyTest>>>,
}

/// Whether `apply` keeps one instance running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kit) enum Start {
    /// One of the definition's name (the default).
    Always,
    /// None; `run` makes one.
    OnDemand,
}

/// Root file system.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Template {
    /// Name of a built-in base.
    #[serde(default)]
    pub(in crate::kit) image: Option<Spanned<String>>,
    /// Distribution packages on top.
    #[serde(default)]
    pub(in crate::kit) packages: Vec<Spanned<PackageName>>,
    /// Commands on top, in a machine of their own without secrets.
    #[serde(default)]
    #[schemars(schema_with = "super::command::shells")]
    pub(in crate::kit) run: Vec<Spanned<String>>,
}

/// The folder that the agent works on; it lies at the same path inside.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Workspace {
    /// From the repository's root, or outside of one from the file's folder.
    #[serde(default)]
    pub(in crate::kit) path: Option<Spanned<String>>,
    /// How it enters.
    #[serde(default)]
    pub(in crate::kit) mode: Option<Spanned<WorkspaceMode>>,
    /// Branch that the agent works on.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    branch: Option<Later<String>>,
    /// Commit that it begins from.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    base: Option<Later<String>>,
    /// What becomes of changes that are not committed.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    uncommitted: Option<Later<Uncommitted>>,
    /// Ignored files that enter.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    include: Option<Later<Vec<String>>>,
    /// What never enters.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    hide: Option<Later<Vec<String>>>,
}

/// How a workspace enters the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kit) enum WorkspaceMode {
    /// On a branch of its own; a person reviews what comes back.
    #[schemars(extend("x-notAvailable" = true))]
    Branch,
    /// The agent's changes lie over the folder, which stays as it is.
    #[schemars(extend("x-notAvailable" = true))]
    Overlay,
    /// The agent writes the host's folder.
    Direct,
    /// Read-only.
    Read,
}

/// A host folder in the sandbox.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Mount {
    /// Folder on the host: absolute, below `~/`, or from this file's folder.
    pub(in crate::kit) source: Spanned<String>,
    /// Where it lies in the sandbox: absolute; the same path unless written.
    #[serde(default)]
    pub(in crate::kit) target: Option<Spanned<String>>,
    /// Who may write; `read` unless written.
    #[serde(default)]
    pub(in crate::kit) access: Option<Access>,
    /// What it is for.
    pub(in crate::kit) why: Reason,
}

/// Who may write a mounted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kit) enum Access {
    /// Nobody inside (the default).
    Read,
    /// The agent.
    Write,
}

/// The size of the machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Resources {
    /// Virtual CPUs; 2 unless written.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64))]
    pub(in crate::kit) cpus: Option<Spanned<u8>>,
    /// Memory; half of the host's up to 4GiB unless written.
    #[serde(default)]
    pub(in crate::kit) memory: Option<Spanned<Size>>,
    /// Size of the disk that holds home and history; 20GiB unless written.
    #[serde(default)]
    pub(in crate::kit) disk: Option<Spanned<Size>>,
}

/// Whether a machine without hardware virtualisation will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::kit) enum Isolation {
    /// It will do where KVM cannot run a guest (the default).
    EmulationOk,
    /// It will not.
    Hardware,
}
