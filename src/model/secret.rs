//! Secrets by reference. No type here holds a value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::rule::Origin;

/// A secret that a sandbox may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretBinding {
    /// The operator's name for it.
    pub name: String,
    /// Variable that holds the placeholder in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Form of the placeholder: text with `{alnum:N}` or `{hex:N}`, so that clients that check a key's form
    /// accept it.
    pub placeholder: String,
    /// Without a value: `true` keeps the sandbox from starting, `false` leaves the variable unset.
    pub required: bool,
    /// Where it is injected, and nowhere else.
    pub inject: Vec<Injection>,
    /// What it is for; of a service, what the service is.
    #[serde(default)]
    pub why: String,
    /// Where the binding stands.
    pub origin: Origin,
}

/// One place where a secret is put into a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Injection {
    /// Exact host name.
    pub host: String,
    /// Port, 443 unless written.
    pub port: u16,
    /// Header, lower-case.
    pub header: String,
    /// Header value with one `{}` for the secret.
    pub format: String,
}

/// Where the operator keeps a secret. Only the operator's configuration holds these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged, deny_unknown_fields)]
pub enum SecretSource {
    /// Variable of the environment of the command that starts the sandbox.
    Env {
        /// Name of the variable.
        env: String,
    },
    /// File; a trailing newline is not part of the value.
    File {
        /// Path; `~/` is the operator's home.
        file: PathBuf,
    },
    /// Program and arguments, run without a shell; its standard output less a trailing newline is the value.
    Command {
        /// Program and arguments.
        command: Vec<String>,
    },
}
