//! Rules of the policy engine, as data. How they combine is `policy`'s.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::end::End;

/// Who set a rule. The order is that of authority; any layer's deny wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// Built in: what no file can allow.
    Floor,
    /// `/etc/cofferdam`.
    Organisation,
    /// This user's own rules.
    User,
    /// Kits and `sandbox.yaml`.
    Repository,
    /// Added by a command for as long as the sandbox lives.
    Session,
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Floor => "floor",
            Self::Organisation => "organisation",
            Self::User => "user",
            Self::Repository => "repository",
            Self::Session => "session",
        })
    }
}

/// Where a rule stands, so that a decision can be traced to a line that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The layer.
    pub layer: Layer,
    /// File that holds it, as the user knows it; none for built-in and command-line rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// What a matching rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Passes unless something denies.
    Allow,
    /// Blocks, in whichever layer it stands.
    Deny,
    /// Waits for a person.
    Ask,
}

/// Which hosts a rule speaks of. Names are lower-case A-labels (IDNA) without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostPattern {
    /// This name.
    Exact(String),
    /// `*.suffix`: exactly one label below it.
    OneLabel(String),
    /// `**.suffix`: one label or more below it; in a deny also the suffix itself.
    AnyDepth(String),
    /// `**`: every name.
    Any,
    /// An address or a network, for connections by address.
    Net(IpNet),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => formatter.write_str(name),
            Self::OneLabel(suffix) => write!(formatter, "*.{suffix}"),
            Self::AnyDepth(suffix) => write!(formatter, "**.{suffix}"),
            Self::Any => formatter.write_str("**"),
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => write!(formatter, "{}", net.addr()),
            Self::Net(net) => write!(formatter, "{net}"),
        }
    }
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ports {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

impl Ports {
    /// Every port.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// `host`, with these ports behind it where they are not the `default` ones.
    #[must_use]
    pub fn of(self, host: &HostPattern, default: Self) -> String {
        match host {
            host if self == default => host.to_string(),
            HostPattern::Net(net) if net.addr().is_ipv6() => format!("[{host}]:{self}"),
            host => format!("{host}:{self}"),
        }
    }

    /// Whether `port` is among them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            formatter.write_str("*")
        } else if self.first == self.last {
            write!(formatter, "{}", self.first)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

/// What is spoken on an allowed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP in the clear; each request is judged.
    Http,
    /// HTTP inside TLS that egress opens; each request is judged.
    Https,
    /// TLS passed through unopened; only the name is judged, no secret can be injected.
    Tls,
    /// Bytes; only name and port are judged.
    Tcp,
}

impl Protocol {
    /// The protocol that a rule without one means on this port.
    #[must_use]
    pub const fn default_for(port: u16) -> Option<Self> {
        match port {
            443 => Some(Self::Https),
            80 => Some(Self::Http),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        })
    }
}

/// Which upstream addresses an allowed name may resolve to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Addresses {
    /// Global unicast only.
    #[default]
    Public,
    /// Private ranges too (RFC 1918, unique local); never metadata, link-local or loopback.
    Private,
}

/// While what a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum During {
    /// Always.
    #[default]
    Always,
    /// While set-up and build steps run; withdrawn before the agent starts.
    Setup,
}

impl During {
    /// Whether it always holds.
    #[must_use]
    pub fn is_always(&self) -> bool {
        *self == Self::Always
    }
}

/// Narrows a rule to some requests. Empty lists match all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Methods, upper-case.
    pub methods: Vec<String>,
    /// Path patterns: segments with `*` (one) and `**` (any depth), on the canonical path.
    pub paths: Vec<String>,
}

/// One network rule with one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRule {
    /// Stable within the policy: `dev/network.rules[2]`, `floor.metadata`, `user/3`.
    pub id: String,
    /// What it says.
    pub effect: Effect,
    /// Whom it speaks of.
    pub host: HostPattern,
    /// On which ports.
    pub ports: Ports,
    /// What may be spoken there; `None` in a deny means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Requests it is narrowed to; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpMatch>,
    /// Upstream addresses it permits.
    #[serde(default)]
    pub addresses: Addresses,
    /// While what it holds.
    #[serde(default, skip_serializing_if = "During::is_always")]
    pub during: During,
    /// The named set that this pattern came from: `registry:npm`, `bundle:paste-sites`, `service:github`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// From when on it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<End>,
    /// Why it stands there.
    pub why: String,
    /// Where it stands.
    pub origin: Origin,
}

impl NetworkRule {
    /// The pattern as a person writes it: `host` when the port is the default one, else `host:ports`.
    #[must_use]
    pub fn pattern(&self) -> String {
        let default = match self.effect {
            Effect::Deny => Ports::ALL,
            Effect::Allow | Effect::Ask => Ports::one(443),
        };
        self.ports.of(&self.host, default)
    }
}

/// A service of the host that the guest may reach as `NAME.host.internal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostService {
    /// First label of its reserved name.
    pub name: String,
    /// Port on the host's loopback.
    pub port: u16,
    /// Requests that are allowed; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpMatch>,
    /// From when on it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<End>,
    /// Why.
    pub why: String,
    /// Where it stands.
    pub origin: Origin,
}

/// What somebody wants to reach, as `decide` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A name that the host handed out an address for, or that a proxy request named: a lower-case A-label name.
    Name(String),
    /// A bare address, canonical (no IPv4-mapped IPv6).
    Address(IpAddr),
}
