//! What no file can allow.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::rule::{Addresses, During, Effect, HostPattern, Layer, NetworkRule, Origin, Ports, Target};

use super::address::{Class, METADATA, canonical, class};

/// Names of host services end in this.
pub const HOST_SUFFIX: &str = "host.internal";
/// The gateway's own name.
pub const GATEWAY: &str = "gateway.cofferdam.internal";
/// Suffix of names that are ours.
const OWN_SUFFIX: &str = "cofferdam.internal";
/// What other sandbox products call the host; here they lead nowhere.
const HOST_ALIASES: [&str; 4] =
    ["host.docker.internal", "gateway.docker.internal", "host.containers.internal", "host.lima.internal"];

/// Names under which clouds serve credentials of the machine.
const METADATA_NAMES: [&str; 5] = [
    "metadata.google.internal",
    "metadata.goog",
    "instance-data.ec2.internal",
    "instance-data",
    "metadata.azure.internal",
];

const METADATA_WHY: &str = "cloud metadata services hand out the host's own credentials";

/// Networks that are closed whatever a rule says, besides the metadata addresses.
const NETWORKS: [(&str, &str, &str); 9] = [
    ("floor.link-local", "169.254.0.0/16", "link-local addresses belong to the host's own network"),
    ("floor.link-local", "fe80::/10", "link-local addresses belong to the host's own network"),
    ("floor.loopback", "127.0.0.0/8", "the host's loopback is reached through declared host services only"),
    ("floor.loopback", "::1/128", "the host's loopback is reached through declared host services only"),
    ("floor.unspecified", "0.0.0.0/8", "an unspecified address reaches the host itself"),
    ("floor.unspecified", "::/128", "an unspecified address reaches the host itself"),
    ("floor.multicast", "224.0.0.0/4", "multicast reaches every machine on the host's network"),
    ("floor.multicast", "ff00::/8", "multicast reaches every machine on the host's network"),
    ("floor.reserved", "240.0.0.0/4", "reserved addresses have no host"),
];

/// The floor as rules: denies on every port.
#[must_use]
pub fn rules() -> Vec<NetworkRule> {
    let names =
        METADATA_NAMES.map(|name| deny("floor.metadata", HostPattern::Exact(name.to_owned()), METADATA_WHY));
    let addresses =
        METADATA.map(|address| deny("floor.metadata", HostPattern::Net(address.into()), METADATA_WHY));
    let networks = NETWORKS.map(|(id, net, why)| {
        let net: IpNet = net.parse().expect("the networks above are written as networks");
        deny(id, HostPattern::Net(net), why)
    });
    names.into_iter().chain(addresses).chain(networks).collect()
}

/// The rule that closes an upstream address which an allowed name resolved to; private addresses are closed
/// unless the grant opens them.
#[must_use]
pub fn forbids(address: IpAddr, addresses: Addresses) -> Option<NetworkRule> {
    let (id, why) = match class(address) {
        Class::Global => return None,
        Class::Private if addresses == Addresses::Private => return None,
        Class::Metadata => ("floor.metadata", METADATA_WHY),
        Class::LinkLocal => ("floor.link-local", NETWORKS[0].2),
        Class::Loopback => ("floor.loopback", NETWORKS[2].2),
        Class::Unspecified => ("floor.unspecified", NETWORKS[4].2),
        Class::Multicast => ("floor.multicast", NETWORKS[6].2),
        Class::Reserved => ("floor.reserved", NETWORKS[8].2),
        Class::Private => {
            ("floor.private", "a private address needs a rule for this exact host with `addresses: private`")
        }
    };
    Some(deny(id, HostPattern::Net(canonical(address).into()), why))
}

/// Whether only a declared host service may grant this name.
#[must_use]
pub fn is_reserved(target: &Target) -> bool {
    let Target::Name(name) = target else { return false };
    let below =
        |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.ends_with(".internal")
        && (below(HOST_SUFFIX) || below(OWN_SUFFIX) || HOST_ALIASES.contains(&name.as_str()))
}

fn deny(id: &str, host: HostPattern, why: &str) -> NetworkRule {
    NetworkRule {
        until: None,
        id: id.to_owned(),
        effect: Effect::Deny,
        host,
        ports: Ports::ALL,
        protocol: None,
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: why.to_owned(),
        origin: Origin { layer: Layer::Floor, file: None, line: None },
    }
}
