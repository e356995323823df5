//! What runs in a sandbox and what its root file system is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::rule::Origin;

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
