//! What a test sets up: rules, secrets, and the check that is off.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use crate::{
    egress::faults::Check,
    model::{
        api::EgressSecret,
        rule::{
            Addresses, During, Effect, HostPattern, HostService, Layer, NetworkRule, Origin, Ports, Protocol,
        },
        secret::{Injection, SecretBinding},
    },
};

pub const PLACEHOLDER: &str = "cfd-PLACEHOLDER-0123456789";
pub const CANARY: &str = "canary-5f2c-real-key";
pub const PUBLIC: &str = "93.184.216.34";

pub fn origin() -> Origin {
    Origin { layer: Layer::Repository, file: Some("sandbox.yaml".into()), line: Some(7) }
}

pub fn rule(effect: Effect, pattern: &str, port: u16, protocol: Option<Protocol>) -> NetworkRule {
    let host = match pattern.parse() {
        Ok(net) => HostPattern::Net(net),
        Err(_) => match pattern.strip_prefix("**.") {
            Some(suffix) => HostPattern::AnyDepth(suffix.into()),
            None => HostPattern::Exact(pattern.into()),
        },
    };
    let ports = if port == 0 { Ports::ALL } else { Ports::one(port) };
    NetworkRule {
        until: None,
        id: format!("dev/{pattern}:{port}"),
        effect,
        host,
        ports,
        protocol,
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "the test".into(),
        origin: origin(),
    }
}

pub fn allow(name: &str) -> NetworkRule {
    rule(Effect::Allow, name, 443, None)
}

pub fn secret(name: &str, host: &str, present: bool) -> EgressSecret {
    let inject = Injection { host: host.into(), port: 443, header: "x-api-key".into(), format: "{}".into() };
    let bearer = Injection {
        host: host.into(),
        port: 443,
        header: "authorization".into(),
        format: "Bearer {}".into(),
    };
    EgressSecret {
        binding: SecretBinding {
            name: name.into(),
            env: Some("API_KEY".into()),
            placeholder: String::new(),
            required: true,
            inject: vec![inject, bearer],
            why: String::new(),
            origin: origin(),
        },
        placeholder: PLACEHOLDER.into(),
        present,
    }
}

/// Two hosts are allowed.
pub fn plan(off: Option<Check>) -> Plan {
    Plan { rules: vec![allow("api.test"), allow("other.test")], off, ..Plan::default() }
}

/// A secret for one of the hosts that are allowed.
pub fn bound(off: Option<Check>) -> Plan {
    let plain = rule(Effect::Allow, "bound.test", 80, None);
    let rules = vec![allow("bound.test"), allow("other.test"), plain];
    Plan { rules, secrets: vec![secret("key", "bound.test", true)], off, ..Plan::default() }
}

/// What one test sets up.
#[derive(Default)]
pub struct Plan {
    pub rules: Vec<NetworkRule>,
    pub secrets: Vec<EgressSecret>,
    pub services: Vec<HostService>,
    pub off: Option<Check>,
    /// A second check that is off, where one alone stops an attack.
    pub also_off: Option<Check>,
    /// The table of names that the keeper hands over.
    pub names: Vec<(String, IpAddr)>,
    /// Name → addresses, where not public.
    pub answers: HashMap<String, Vec<&'static str>>,
    /// The origin's certificate is for this name instead of the one that is asked for.
    pub origin_certificate: Option<&'static str>,
    /// The origin's certificate is of an unknown authority.
    pub origin_unknown: bool,
    /// The operator's fixed addresses; with one the real network is dialled, which then is this host's loopback.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// The keeper never acknowledges records.
    pub unrecorded: bool,
}
