//! What processes on the host say to each other: the control API between a command and a keeper, and the channel
//! between keeper and egress. Both are JSON, both carry a version.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::{
    event::Draft,
    parked::ParkedRule,
    rule::{HostService, NetworkRule},
    secret::SecretBinding,
};

/// Version of the messages here.
pub const VERSION: u16 = 1;

/// Body of `POST /v1/stop`, from a command to a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// How long the guest has to go down by itself, in milliseconds.
    pub grace_ms: u64,
}

/// Body of `POST /v1/progress`, from a command to a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRequest {
    /// Number of the step of the set-up that is known about.
    pub after: u32,
}

/// First message from keeper to egress; it answers with [`EgressReport::Ready`].
///
/// Secret values do not travel here: they are sealed memory files, handed over as descriptors in the order of
/// [`EgressSetup::secrets`]. Neither does the CA: its memory file is empty at the first start, and egress fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressSetup {
    /// [`VERSION`].
    pub version: u16,
    /// The sandbox's name, for messages to the guest.
    pub sandbox: String,
    /// Synthetic addresses are handed out from here (IPv4 network, at least a /16).
    pub synthetic: ipnet::Ipv4Net,
    /// Names that have an address already: a name keeps it for the sandbox's life.
    pub names: Vec<(String, IpAddr)>,
    /// Secrets with the placeholders that stand for them in the guest.
    pub secrets: Vec<EgressSecret>,
    /// How egress reaches the world.
    pub upstream: Upstream,
    /// The policy to begin with.
    pub policy: PolicyRevision,
}

/// A secret as egress knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressSecret {
    /// Where it may be injected.
    pub binding: SecretBinding,
    /// What stands for it in the guest.
    pub placeholder: String,
    /// Whether there is a value. Without one, requests that need it get 503.
    pub present: bool,
}

/// How egress reaches the world. The keeper reads all of this on the host; egress opens no file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// Trusted roots, DER, base64.
    pub roots: Vec<String>,
    /// `host:port` → address, like `curl --resolve`; exempt from the address floor.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// Resolvers of the host.
    pub nameservers: Vec<SocketAddr>,
    /// Lines of the host's `hosts` file, parsed.
    pub hosts: Vec<(IpAddr, String)>,
}

/// A whole policy; a new revision replaces the old one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRevision {
    /// Counts up.
    pub revision: u64,
    /// SHA-256 over the rules, for events and status.
    pub hash: String,
    /// Every rule of every layer.
    pub rules: Vec<NetworkRule>,
    /// Services of the host.
    pub host_services: Vec<HostService>,
    /// Whether set-up steps run, so that rules for them are in force. Not said means no.
    #[serde(default)]
    pub setup: bool,
    /// Rules that stand in a file and are not in force: words for denials, nothing else. No part of the hash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<ParkedRule>,
}

/// From keeper to egress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum EgressOrder {
    /// First message.
    Setup(Box<EgressSetup>),
    /// Replace the policy, judge open connections again, answer [`EgressReport::PolicyApplied`].
    Policy(PolicyRevision),
    /// The event with this ticket is written outside egress.
    #[serde(rename_all = "camelCase")]
    Recorded {
        /// As in [`EgressReport::Event`].
        ticket: u64,
    },
    /// The binding with this ticket is written.
    #[serde(rename_all = "camelCase")]
    Bound {
        /// As in [`EgressReport::Bind`].
        ticket: u64,
    },
}

/// From egress to keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum EgressReport {
    /// Set up; streams are judged from now on.
    #[serde(rename_all = "camelCase")]
    Ready {
        /// Certificate of the sandbox's interception CA, PEM. Egress made it; its key is in the memory file that
        /// the keeper holds unmapped.
        ca_pem: String,
    },
    /// A decision. With a ticket, egress waits for [`EgressOrder::Recorded`] before it goes on.
    #[serde(rename_all = "camelCase")]
    Event {
        /// What was decided.
        draft: Box<Draft>,
        /// Set when egress waits.
        ticket: Option<u64>,
    },
    /// A name gets an address; egress waits for [`EgressOrder::Bound`] before it tells the guest.
    #[serde(rename_all = "camelCase")]
    Bind {
        /// To be answered with.
        ticket: u64,
        /// The name.
        name: String,
        /// Its address, for the sandbox's life.
        address: IpAddr,
    },
    /// A policy is in force, and open connections that it forbids are closed.
    #[serde(rename_all = "camelCase")]
    PolicyApplied {
        /// Which.
        revision: u64,
        /// Connections that were closed.
        closed: u32,
    },
}
