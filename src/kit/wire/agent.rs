//! Kinds Agent (a client and what it needs) and Mixin (adds to one).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    argument::Argument,
    guest::{File, Port, Setup},
    kitref::KitRef,
    later::{Caches, Later},
    network::Network,
    sandbox::{Isolation, Mount, Resources, Template},
    secret::Secret,
    text::{ArgumentName, EnvName, Label},
};
use crate::kit::spanned::{OneOrMany, Spanned};

/// A client and what it needs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AgentSpec", extend("anyOf" = [{"required": ["command"]}, {"required": ["extends"]}]))]
#[expect(dead_code, reason = "some keys are refused until they are carried out")]
pub(in crate::kit) struct Agent {
    /// How it starts: `{interactive: [program, argument]}`; needed unless it extends another kit that says so.
    #[serde(default)]
    pub(in crate::kit) command: Option<Command>,
    /// Root file system unless the sandbox says otherwise.
    #[serde(default)]
    pub(in crate::kit) template: Template,
    /// Environment variables.
    #[serde(default)]
    #[schemars(extend("x-form" = "a variable's name has letters, digits and underscores, and begins with no digit"))]
    pub(in crate::kit) env: BTreeMap<EnvName, Spanned<String>>,
    /// What it must reach.
    #[serde(default)]
    pub(in crate::kit) network: Network,
    /// Secrets that it uses.
    #[serde(default)]
    pub(in crate::kit) secrets: Vec<Spanned<Secret>>,
    /// Steps that install it, as root in a machine of their own without secrets.
    #[serde(default)]
    #[schemars(schema_with = "super::command::shells")]
    pub(in crate::kit) install: Vec<Spanned<String>>,
    /// Arguments that it takes; `${{ args.NAME }}` stands for their values.
    #[serde(default)]
    #[schemars(extend("x-form" = "an argument's name begins with a letter and has letters, digits, `_` and hyphens"))]
    args: BTreeMap<ArgumentName, Argument>,
    /// Files to put in.
    #[serde(default)]
    pub(in crate::kit) files: Vec<Spanned<File>>,
    /// Commands in the sandbox, as the agent's user.
    #[serde(default)]
    pub(in crate::kit) setup: Setup,
    /// What to tell the agent.
    #[serde(default)]
    instructions: Option<Later<String>>,
    /// The user's own settings to take over.
    #[serde(default)]
    host_config: Option<Later<Vec<String>>>,
    /// Ports of the sandbox on the host's loopback.
    #[serde(default)]
    pub(in crate::kit) ports: Vec<Spanned<Port>>,
    /// Folders of the sandbox's own.
    #[serde(default)]
    #[schemars(extend("x-form" = "a name has 1 to 63 lower-case letters, digits and inner hyphens"))]
    caches: Option<Later<Caches>>,
    /// The size of the machine unless the sandbox says otherwise.
    #[serde(default)]
    pub(in crate::kit) resources: Resources,
    /// Whether a machine without hardware virtualisation will do.
    #[serde(default)]
    pub(in crate::kit) isolation: Option<Spanned<Isolation>>,
    /// Agent's kit that this one changes.
    #[serde(default)]
    pub(in crate::kit) extends: Option<KitRef>,
    /// What nothing after this kit may set, as dotted paths: `command`, `network.rules`, `env.NODE_ENV`.
    #[serde(default)]
    pub(in crate::kit) locked: Vec<Spanned<String>>,
}

/// How an agent starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Command {
    /// Program and arguments of an interactive session.
    #[serde(default)]
    #[schemars(schema_with = "super::command::program")]
    pub(in crate::kit) interactive: Option<Vec<Spanned<String>>>,
    /// Program and arguments that carry out a task, with `${{ task.prompt }}` where the prompt goes.
    #[serde(default)]
    #[schemars(schema_with = "super::command::task")]
    pub(in crate::kit) task: Option<Vec<Spanned<String>>>,
    /// Program and arguments that go on with the last session.
    #[serde(default)]
    #[schemars(schema_with = "super::command::program")]
    pub(in crate::kit) resume: Option<Vec<Spanned<String>>>,
}

/// Adds to an agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MixinSpec")]
#[expect(dead_code, reason = "some keys are refused until they are carried out")]
pub(in crate::kit) struct Mixin {
    /// Agents that it works with.
    #[serde(default)]
    pub(in crate::kit) requires: Option<Requires>,
    /// Distribution packages and commands on top of the root file system.
    #[serde(default)]
    pub(in crate::kit) template: Template,
    /// Environment variables.
    #[serde(default)]
    #[schemars(extend("x-form" = "a variable's name has letters, digits and underscores, and begins with no digit"))]
    pub(in crate::kit) env: BTreeMap<EnvName, Spanned<String>>,
    /// What it must reach.
    #[serde(default)]
    pub(in crate::kit) network: Network,
    /// Secrets that it uses.
    #[serde(default)]
    pub(in crate::kit) secrets: Vec<Spanned<Secret>>,
    /// Steps that install it, as root in a machine of their own without secrets.
    #[serde(default)]
    #[schemars(schema_with = "super::command::shells")]
    pub(in crate::kit) install: Vec<Spanned<String>>,
    /// Arguments that it takes; `${{ args.NAME }}` stands for their values.
    #[serde(default)]
    #[schemars(extend("x-form" = "an argument's name begins with a letter and has letters, digits, `_` and hyphens"))]
    args: BTreeMap<ArgumentName, Argument>,
    /// Files to put in.
    #[serde(default)]
    pub(in crate::kit) files: Vec<Spanned<File>>,
    /// Commands in the sandbox, as the agent's user.
    #[serde(default)]
    pub(in crate::kit) setup: Setup,
    /// Further host folders.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub(in crate::kit) mounts: Vec<Spanned<Mount>>,
    /// What to tell the agent.
    #[serde(default)]
    instructions: Option<Later<String>>,
    /// The user's own settings to take over.
    #[serde(default)]
    host_config: Option<Later<Vec<String>>>,
    /// Ports of the sandbox on the host's loopback.
    #[serde(default)]
    pub(in crate::kit) ports: Vec<Spanned<Port>>,
    /// Folders of the sandbox's own.
    #[serde(default)]
    #[schemars(extend("x-form" = "a name has 1 to 63 lower-case letters, digits and inner hyphens"))]
    caches: Option<Later<Caches>>,
    /// The size of the machine unless the sandbox says otherwise.
    #[serde(default)]
    pub(in crate::kit) resources: Resources,
    /// Whether a machine without hardware virtualisation will do.
    #[serde(default)]
    pub(in crate::kit) isolation: Option<Spanned<Isolation>>,
    /// Mixin that this one changes.
    #[serde(default)]
    pub(in crate::kit) extends: Option<KitRef>,
    /// What nothing after this kit may set, as dotted paths: `network.rules`, `env.NODE_ENV`.
    #[serde(default)]
    pub(in crate::kit) locked: Vec<Spanned<String>>,
}

/// What a mixin works with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Requires {
    /// Agents, by the names of their kits; one that extends such a kit counts.
    pub(in crate::kit) agent: OneOrMany<Spanned<Label>>,
}
