//! The control channel: few, small messages. The guest's are hostile input and grant it nothing.

use serde::{Deserialize, Serialize};

/// From the guest to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum GuestMessage {
    /// First message on every control stream: the guest is up and its exec server listens.
    #[serde(rename_all = "camelCase")]
    Ready {
        /// Protocol version of the guest.
        version: u16,
        /// Kernel release, as in `uname -r`.
        kernel: String,
        /// What a person should know: a mount that went elsewhere, a module that is missing.
        notes: Vec<String>,
    },
    /// The machine goes down by its own will (`poweroff` inside).
    Stopping,
}

/// From the keeper to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum HostMessage {
    /// The time now; the guest slews below 0.5 s, else steps.
    #[serde(rename_all = "camelCase")]
    Time {
        /// Nanoseconds since the Unix epoch.
        unix_nanos: u64,
    },
    /// End every process, sync, unmount, power off.
    Shutdown,
}
