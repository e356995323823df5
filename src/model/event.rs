//! Audit events (`KIT.md`, section 7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rule::{Layer, NetworkRule};

/// Name and version of the event's form.
pub const SCHEMA: &str = "cofferdam.dev/audit/v1";

/// The outcome of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It passed.
    Allow,
    /// It was blocked.
    Deny,
    /// It waits for a person.
    ApprovalRequired,
    /// It could not be decided, and was blocked.
    Unknown,
}

/// The rule behind a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// Its id.
    pub id: String,
    /// Its layer.
    pub layer: Layer,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Why it stands there.
    pub why: String,
}

impl From<&NetworkRule> for RuleRef {
    fn from(rule: &NetworkRule) -> Self {
        Self {
            id: rule.id.clone(),
            layer: rule.origin.layer,
            file: rule.origin.file.clone(),
            line: rule.origin.line,
            why: rule.why.clone(),
        }
    }
}

/// What a deciding process reports. The keeper makes an [`Event`] of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// RFC 3339 with nanoseconds, UTC.
    pub time: String,
    /// `net.connect`, `http.request`, `fs.mount`, `secret.use`, `policy.change`, `sandbox.start`, ….
    pub action: String,
    /// What it was about: `api.example:443`, `GET https://api.example/v1`, `~/.ssh`.
    pub resource: String,
    /// The outcome.
    pub decision: Decision,
    /// The rule, when one decided.
    pub rule: Option<RuleRef>,
    /// Reason code, stable: `no_rule`, `rule_denies`, `no_name_binding`, `ip_literal`, `floor.metadata`, ….
    pub reason: String,
    /// Further facts; never a secret, never a body.
    #[serde(default)]
    pub detail: Map<String, Value>,
}

/// Which sandbox an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSandbox {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its agent's kit.
    pub agent: String,
}

/// Under which files and policy the decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventProvenance {
    /// Commit of the sandbox's file.
    pub commit: Option<String>,
    /// SHA-256 of the sandbox's file.
    pub file_digest: Option<String>,
    /// SHA-256 of the effective policy.
    pub policy_hash: Option<String>,
    /// Who approved the grant.
    pub approved_by: Option<String>,
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339 with nanoseconds, UTC. May go back; the order is `seq`.
    pub time: String,
    /// Position in the chain, from 1 without gaps.
    pub seq: u64,
    /// Unique; sinks use it to drop duplicates.
    pub event_id: String,
    /// [`SCHEMA`].
    pub schema: String,
    /// Host name.
    pub host: String,
    /// The user whose sandbox it is.
    pub user: String,
    /// The organisation, where one governs.
    pub org: Option<String>,
    /// The sandbox.
    pub sandbox: Option<EventSandbox>,
    /// Under which files and policy.
    pub provenance: EventProvenance,
    /// `hardware` or `emulated`.
    pub isolation: Option<String>,
    /// As in [`Draft`].
    pub action: String,
    /// As in [`Draft`].
    pub resource: String,
    /// As in [`Draft`].
    pub decision: Decision,
    /// As in [`Draft`].
    pub rule: Option<RuleRef>,
    /// As in [`Draft`].
    pub reason: String,
    /// As in [`Draft`].
    pub detail: Map<String, Value>,
    /// `hash` of the event before; 64 zeros for the first.
    pub prev: String,
    /// SHA-256, hexadecimal, over this line's bytes without the `hash` member.
    pub hash: String,
}
