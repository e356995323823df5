//! What is put into the guest, and what is done there.

use serde::{Deserialize, Serialize};

use crate::model::rule::Origin;

/// Home of the agent in every guest: what `~` stands for there.
pub const AGENT_HOME: &str = "/home/agent";

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
