//! What is put into the sandbox: files, commands, ports.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Duration, FileMode, StepName};
use crate::kit::spanned::{Spanned, TextOr};

/// A file that is put into the sandbox at each start, before anything of the agent runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["content"]}, {"required": ["source"]}]))]
pub(in crate::kit) struct File {
    /// Path in the sandbox: absolute, or `~/…` for the agent's home.
    pub(in crate::kit) path: Spanned<String>,
    /// Its text. `${{ workspace.path }}` and `${{ secrets.NAME.placeholder }}` are replaced in it.
    #[serde(default)]
    pub(in crate::kit) content: Option<Spanned<String>>,
    /// File of this repository that holds it, from this file's folder; it is copied as it is.
    #[serde(default)]
    pub(in crate::kit) source: Option<Spanned<String>>,
    /// How it joins a file that is there; without it, it takes its place.
    #[serde(default)]
    pub(in crate::kit) merge: Option<Merge>,
    /// Permissions, in quotes.
    #[serde(default)]
    pub(in crate::kit) mode: Option<FileMode>,
}

/// How a file joins one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Merge {
    /// Key by key (JSON merge patch).
    Json,
}

/// Commands in the sandbox, as the agent's user, under this policy; never on the host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Setup {
    /// Once, when the sandbox is made; the agent starts when all have succeeded.
    #[serde(default)]
    pub(in crate::kit) create: Vec<Step>,
    /// At each start.
    #[serde(default)]
    pub(in crate::kit) start: Vec<Step>,
}

/// A command: its text, or text and conditions.
pub(in crate::kit) type Step = Spanned<TextOr<FullStep>>;

/// A command with its conditions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("dependentRequired" = {"ready": ["background"]}))]
pub(in crate::kit) struct FullStep {
    /// Name in logs; the command's first words unless written.
    #[serde(default)]
    pub(in crate::kit) name: Option<Spanned<StepName>>,
    /// The command, for a shell.
    #[schemars(schema_with = "super::command::shell")]
    pub(in crate::kit) run: Spanned<String>,
    /// Longest time it may take, in the background until it is ready; 10m unless written.
    #[serde(default)]
    pub(in crate::kit) timeout: Option<Spanned<Duration>>,
    /// Keeps running beside the agent.
    #[serde(default)]
    pub(in crate::kit) background: Option<Spanned<bool>>,
    /// When a background command counts as up; at once unless written.
    #[serde(default)]
    pub(in crate::kit) ready: Option<Spanned<Ready>>,
}

/// When a background command counts as up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Ready {
    /// When this port of the sandbox's loopback answers.
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::kit) port: u16,
}

/// What the agent does without a person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["prompt"]}, {"required": ["promptFile"]}]))]
pub(in crate::kit) struct Task {
    /// The prompt: one argument of the agent's `command.task`, as it is.
    #[serde(default)]
    pub(in crate::kit) prompt: Option<Spanned<String>>,
    /// File of this repository that holds the prompt, from this file's folder.
    #[serde(default)]
    pub(in crate::kit) prompt_file: Option<Spanned<String>>,
    /// Longest time it may take; as long as it needs unless written.
    #[serde(default)]
    pub(in crate::kit) timeout: Option<Spanned<Duration>>,
}

/// A port of the sandbox on the host's loopback.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("dependentRequired" = {"fixed": ["host"]}))]
pub(in crate::kit) struct Port {
    /// Port in the sandbox.
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::kit) guest: u16,
    /// Port on the host; a wish: where it is taken, the next free one.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::kit) host: Option<u16>,
    /// Makes the wish a condition.
    #[serde(default)]
    pub(in crate::kit) fixed: Option<Spanned<bool>>,
}
