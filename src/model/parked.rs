//! Rules that stand in a file and are not in force, for whoever asks why something is denied.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    end::End,
    rule::{During, Effect, HostPattern, HttpMatch, Layer, NetworkRule, Origin, Ports, Protocol},
};

/// Why a rule is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Idle {
    /// Nobody has approved it, or not all of it.
    Waits,
    /// A person has rejected it.
    Rejected,
    /// Its time is over.
    Ended(End),
}

impl Idle {
    /// The stable code in events.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Waits => "waits_for_approval",
            Self::Rejected => "rejected",
            Self::Ended(_) => "rule_ended",
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits => to.write_str("waits for approval"),
            Self::Rejected => to.write_str("rejected"),
            Self::Ended(end) => write!(to, "ended {end}"),
        }
    }
}

/// A rule that is not in force. It is no [`NetworkRule`], and nothing makes one of it: it has no effect and names no
/// addresses, and a decision looks at it only after it has denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParkedRule {
    /// As in the file's own rules.
    pub id: String,
    /// Whether it would ask a person; else it would let pass.
    #[serde(default)]
    pub asks: bool,
    /// Whom it speaks of.
    pub host: HostPattern,
    /// On which ports.
    pub ports: Ports,
    /// What would be spoken there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Requests it is narrowed to; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpMatch>,
    /// While what it would hold.
    #[serde(default, skip_serializing_if = "During::is_always")]
    pub during: During,
    /// Why it stands there; text of a file.
    pub why: String,
    /// Where it stands.
    pub origin: Origin,
    /// Why it is not in force.
    pub idle: Idle,
}

impl ParkedRule {
    /// A grant that is not in force; a deny is never parked.
    #[must_use]
    pub fn of(rule: &NetworkRule, idle: Idle) -> Option<Self> {
        Some(Self {
            id: rule.id.clone(),
            asks: match rule.effect {
                Effect::Deny => return None,
                effect => effect == Effect::Ask,
            },
            host: rule.host.clone(),
            ports: rule.ports,
            protocol: rule.protocol,
            http: rule.http.clone(),
            during: rule.during,
            why: rule.why.clone(),
            origin: rule.origin.clone(),
            idle,
        })
    }

    /// The pattern as a person writes it.
    #[must_use]
    pub fn pattern(&self) -> String {
        self.ports.of(&self.host, Ports::one(443))
    }

    /// Where a person finds it: file and line for files of the workspace, else its id.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.origin.file, self.origin.line) {
            (Some(file), Some(line)) if self.origin.layer == Layer::Repository => format!("{file}:{line}"),
            (Some(file), None) if self.origin.layer == Layer::Repository => file.clone(),
            _ => format!("rule {}", self.id),
        }
    }
}
