//! Rules as an index: a lookup costs one hash per label of the name, however many rules there are.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::model::{
    api::PolicyRevision,
    parked::ParkedRule,
    rule::{Addresses, During, Effect, HostPattern, HostService, NetworkRule, Ports, Protocol, Target},
};

use super::{entry::Entry, floor, parked::Parked};

/// Every layer's rules, ready to decide. Immutable; a new revision is a new one.
#[derive(Debug)]
pub struct Compiled {
    /// Revision that it was made of.
    pub revision: u64,
    /// SHA-256 over that revision's rules.
    pub hash: String,
    /// Best to report first, so that the lowest index of several that match is the one to name.
    pub(super) rules: Vec<Entry>,
    names: HashMap<Box<str>, Bucket>,
    any: Vec<u32>,
    networks: HashMap<IpNet, Vec<u32>>,
    prefix_lengths: BTreeSet<(bool, u8)>,
    /// What is not in force; no decision comes of it.
    pub(super) parked: Vec<Parked>,
    /// Whether set-up steps run.
    setup: bool,
    /// Whether reserved names are reserved; off in broken builds only.
    #[cfg(test)]
    reserves: bool,
}

/// Rules whose pattern ends in one suffix.
#[derive(Debug, Default)]
struct Bucket {
    exact: Vec<u32>,
    one_label: Vec<u32>,
    any_depth: Vec<u32>,
}

impl Compiled {
    /// Compiles a revision. The floor is added when the revision lacks it: it holds whoever forgot it.
    #[must_use]
    pub fn new(revision: &PolicyRevision) -> Self {
        Self::above(floor::rules(), revision)
    }

    /// A broken build, without the floor's rules or without reserved names: what tests show their worth with.
    #[cfg(test)]
    pub(crate) fn broken(revision: &PolicyRevision, floor: bool, reserves: bool) -> Self {
        let rules = if floor { floor::rules() } else { Vec::new() };
        Self { reserves, ..Self::above(rules, revision) }
    }

    fn above(floor: Vec<NetworkRule>, revision: &PolicyRevision) -> Self {
        let services = revision.host_services.iter().flat_map(service_rules);
        let floor = floor.into_iter().map(|rule| (rule, None));
        let stated = revision.rules.iter().cloned().map(|rule| (rule, None));
        let mut all: Vec<(NetworkRule, Option<u16>)> = floor.chain(stated).chain(services).collect();
        all.sort_by_cached_key(|(rule, _)| preference(rule));
        all.dedup_by(|a, b| a.0 == b.0);
        let mut compiled = Self {
            revision: revision.revision,
            hash: revision.hash.clone(),
            rules: Vec::with_capacity(all.len()),
            names: HashMap::new(),
            any: Vec::new(),
            networks: HashMap::new(),
            prefix_lengths: BTreeSet::new(),
            parked: revision.parked.iter().map(|rule| Parked::new(rule, revision.setup)).collect(),
            setup: revision.setup,
            #[cfg(test)]
            reserves: true,
        };
        for (rule, service) in all {
            compiled.insert(rule, service);
        }
        compiled
    }

    fn insert(&mut self, rule: NetworkRule, service: Option<u16>) {
        let index = u32::try_from(self.rules.len()).expect("a policy frame is bounded far below 2^32 rules");
        match &rule.host {
            HostPattern::Exact(name) => self.bucket(name).exact.push(index),
            HostPattern::OneLabel(suffix) => self.bucket(suffix).one_label.push(index),
            HostPattern::AnyDepth(suffix) => self.bucket(suffix).any_depth.push(index),
            HostPattern::Any => self.any.push(index),
            HostPattern::Net(net) => {
                let net = net.trunc();
                self.prefix_lengths.insert((net.addr().is_ipv6(), net.prefix_len()));
                self.networks.entry(net).or_default().push(index);
            }
        }
        let holds = rule.during.is_always() || self.setup;
        self.rules.push(Entry::new(rule, service, holds));
    }

    fn bucket(&mut self, suffix: &str) -> &mut Bucket {
        self.names.entry(suffix.into()).or_default()
    }

    /// Calls `visit` with each rule whose host pattern covers `target`.
    pub(super) fn covering<'a>(&'a self, target: &Target, mut visit: impl FnMut(u32, &'a Entry)) {
        let mut each = |indices: &[u32], only_denies: bool| {
            for &index in indices {
                let entry = &self.rules[index as usize];
                if !only_denies || entry.rule.effect == Effect::Deny {
                    visit(index, entry);
                }
            }
        };
        match target {
            Target::Name(name) => {
                if let Some(bucket) = self.names.get(name.as_str()) {
                    each(&bucket.exact, false);
                    // In a deny `**.x` covers x too.
                    each(&bucket.any_depth, true);
                }
                let mut rest = name.as_str();
                let mut depth = 0;
                while let Some((_, parent)) = rest.split_once('.') {
                    depth += 1;
                    if let Some(bucket) = self.names.get(parent) {
                        if depth == 1 {
                            each(&bucket.one_label, false);
                        }
                        each(&bucket.any_depth, false);
                    }
                    rest = parent;
                }
                each(&self.any, false);
            }
            Target::Address(address) => {
                for &(v6, length) in &self.prefix_lengths {
                    if v6 == address.is_ipv6()
                        && let Some(indices) =
                            network(*address, length).and_then(|net| self.networks.get(&net))
                    {
                        each(indices, false);
                    }
                }
                // `**` is every name; whoever denies everything means addresses too.
                each(&self.any, true);
            }
        }
    }

    /// Whether only a declared host service may grant this name.
    pub(super) fn reserves(&self, target: &Target) -> bool {
        #[cfg(test)]
        if !self.reserves {
            return false;
        }
        floor::is_reserved(target)
    }

    /// Whether some rule's pattern, `**` apart, names `target`: such a name exists for the guest even where it
    /// would be taken for a local one.
    #[must_use]
    pub fn mentions(&self, target: &Target) -> bool {
        let mut found = false;
        self.covering(target, |_, entry| found |= entry.holds && entry.rule.host != HostPattern::Any);
        found
    }

    /// What speaks of `target` and is not in force.
    pub(super) fn parked_about(&self, target: &Target) -> Vec<Arc<ParkedRule>> {
        let about = self.parked.iter().filter(|parked| parked.names(target));
        about.map(|parked| Arc::clone(&parked.rule)).collect()
    }

    /// Whether set-up steps run.
    pub(super) fn setup(&self) -> bool {
        self.setup
    }

    /// The rules, best to report first.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<NetworkRule>> {
        self.rules.iter().map(|entry| &entry.rule)
    }
}

fn network(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok().map(|net| net.trunc())
}

/// Order of reporting: denies by authority (what cannot be overridden is the most useful answer), then the most
/// specific, then the id so that it never depends on the order of files.
fn preference(rule: &NetworkRule) -> impl Ord + use<> {
    let (kind, length) = match &rule.host {
        HostPattern::Exact(_) => (0, 0),
        HostPattern::Net(net) => (1, usize::from(net.prefix_len())),
        HostPattern::OneLabel(suffix) => (2, suffix.len()),
        HostPattern::AnyDepth(suffix) => (3, suffix.len()),
        HostPattern::Any => (4, 0),
    };
    let width = rule.ports.last.saturating_sub(rule.ports.first);
    let layer = (rule.effect != Effect::Deny, (rule.effect == Effect::Deny).then_some(rule.origin.layer));
    (layer, kind, Reverse(length), width, rule.http.is_empty(), rule.id.clone(), rule.pattern())
}

/// A host service is a grant for its reserved name: on port 80, and on its own.
fn service_rules(service: &HostService) -> impl Iterator<Item = (NetworkRule, Option<u16>)> {
    let ports = if service.port == 80 { vec![80] } else { vec![80, service.port] };
    ports.into_iter().map(|port| {
        let rule = NetworkRule {
            until: service.until,
            id: format!("hostService.{}", service.name),
            effect: Effect::Allow,
            host: HostPattern::Exact(format!("{}.{}", service.name, floor::HOST_SUFFIX)),
            ports: Ports::one(port),
            protocol: Some(Protocol::Http),
            http: service.http.clone(),
            addresses: Addresses::Public,
            during: During::Always,
            set: None,
            why: service.why.clone(),
            origin: service.origin.clone(),
        };
        (rule, Some(service.port))
    })
}
