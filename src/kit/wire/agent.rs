//! Kinds Agent (a client and what it needs) and Mixin (adds to one).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    guest::{File, Port},
    later::{Argument, Cache, Later, Requires},
    network::Network,
    sandbox::Template,
    secret::Secret,
    text::EnvName,
};
use crate::kit::spanned::Spanned;

/// A client and what it needs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AgentSpec")]
#[expect(dead_code, reason = "some keys are refused until they are carried out")]
pub(in crate::kit) struct Agent {
    /// How it starts.
    pub(in crate::kit) command: Command,
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
    /// Steps that install it.
    #[serde(default)]
    pub(in crate::kit) install: Vec<Spanned<String>>,
    /// Arguments that it takes.
    #[serde(default)]
    args: Option<Later<BTreeMap<String, Argument>>>,
    /// Files to put in.
    #[serde(default)]
    pub(in crate::kit) files: Vec<Spanned<File>>,
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
    caches: Option<Later<BTreeMap<String, Cache>>>,
    /// Kit that this one changes.
    #[serde(default)]
    extends: Option<Later<String>>,
    /// Keys that a sandbox may not change.
    #[serde(default)]
    locked: Option<Later<Vec<String>>>,
}

/// How an agent starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Command {
    /// Program and arguments of an interactive session.
    #[schemars(length(min = 1))]
    pub(in crate::kit) interactive: Vec<Spanned<String>>,
    /// Program and arguments that carry out a task, with `${{ task.prompt }}` where the prompt goes.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) task: Option<Vec<Spanned<String>>>,
    /// Program and arguments that go on with the last session.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) resume: Option<Vec<Spanned<String>>>,
}

/// Adds to an agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MixinSpec")]
#[expect(dead_code, reason = "no sandbox can name a mixin yet; its form is checked")]
pub(in crate::kit) struct Mixin {
    /// Agents that it works with.
    #[serde(default)]
    requires: Option<Later<Requires>>,
    /// Environment variables.
    #[serde(default)]
    #[schemars(extend("x-form" = "a variable's name has letters, digits and underscores, and begins with no digit"))]
    env: BTreeMap<EnvName, Spanned<String>>,
    /// What it must reach.
    #[serde(default)]
    network: Network,
    /// Secrets that it uses.
    #[serde(default)]
    secrets: Vec<Spanned<Secret>>,
    /// Steps that install it.
    #[serde(default)]
    pub(in crate::kit) install: Vec<Spanned<String>>,
    /// Arguments that it takes.
    #[serde(default)]
    args: Option<Later<BTreeMap<String, Argument>>>,
    /// Files to put in.
    #[serde(default)]
    pub(in crate::kit) files: Vec<Spanned<File>>,
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
    caches: Option<Later<BTreeMap<String, Cache>>>,
    /// Kit that this one changes.
    #[serde(default)]
    extends: Option<Later<String>>,
    /// Keys that a sandbox may not change.
    #[serde(default)]
    locked: Option<Later<Vec<String>>>,
}
