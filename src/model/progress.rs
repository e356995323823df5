//! How far the carrying-out of a plan has come for one sandbox, so that whoever goes on after a crash knows where.

use serde::{Deserialize, Serialize};

/// What is still to be done before a sandbox is what its record says. It is written before the work begins and taken
/// back when it has ended; the order is that of how much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unfinished {
    /// Start it.
    Start,
    /// Put the recorded rules in force in the running machine.
    Enforce,
    /// Stop it, then start it.
    Stop,
    /// Stop it, renew its system disk, start it. The data disk stays.
    Renew,
    /// Make its disks, then start it: it has never run.
    Disks,
}

/// Why a sandbox is not what its file says, and will not be by itself: the word of its condition `Stalled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Obstacle {
    /// Somebody works in it.
    Busy,
    /// A secret has no value.
    SecretMissing,
    /// What it boots from could not be built.
    TemplateFailed,
    /// This host lacks something.
    HostLacks,
    /// Policy refuses something of it.
    PolicyDenied,
    /// Something else went wrong.
    Failed,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, formatter)
    }
}

/// An [`Obstacle`] as the last pass met it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obstructed {
    /// What it is.
    pub by: Obstacle,
    /// In a sentence, with what to do about it.
    pub message: String,
}

impl std::fmt::Display for Unfinished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Start => "start",
            Self::Enforce => "put its rules in force",
            Self::Stop => "stop and start",
            Self::Renew => "renew its system disk",
            Self::Disks => "make its disks",
        })
    }
}
