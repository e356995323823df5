//! Files that the host has written in the guest before anything of the agent runs: one stream each. The request is one
//! [frame](super::frame), for a file followed by its bytes; the answer is one frame.

use serde::{Deserialize, Serialize};

/// Longest content of a file, and longest file that JSON is merged into, in bytes.
pub const CONTENT_MAX: usize = 4 * 1024 * 1024;
/// Longest note, in bytes.
pub const NOTE_MAX: usize = 16 * 1024;

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum FileRequest {
    /// Write a file, whole or not at all. Its bytes follow.
    Write(FileSpec),
    /// What was noted last on this system disk.
    #[serde(rename_all = "camelCase")]
    ReadNote {
        /// Protocol version of the host.
        version: u16,
    },
    /// Note this on the system disk, in place of what was noted there.
    #[serde(rename_all = "camelCase")]
    WriteNote {
        /// Protocol version of the host.
        version: u16,
        /// At most [`NOTE_MAX`] bytes.
        text: String,
    },
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSpec {
    /// Protocol version of the host.
    pub version: u16,
    /// Absolute path, or one below the agent's home as `~/…`.
    pub path: String,
    /// Written by the agent's user, with its rights; else by root.
    pub agent: bool,
    /// Permission bits; set-id bits are ignored. None: those of the file that is there, else 0644.
    pub mode: Option<u32>,
    /// The content is a JSON object that is merged into the one that is there (RFC 7396).
    pub merge_json: bool,
    /// Bytes of content that follow, at most [`CONTENT_MAX`].
    pub length: u32,
}

/// From the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum FileReply {
    /// It is done.
    Done,
    /// What is noted; nothing on a new disk.
    Note {
        /// The text as it was written, or whatever the guest made of it.
        text: Option<String>,
    },
    /// It was not done.
    Failed {
        /// Why, for a person.
        message: String,
    },
}
