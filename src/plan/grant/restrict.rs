//! The desired state with everything left out that nobody approved: what tightens applies at once, what widens waits,
//! grant by grant, while the rest runs.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    Grant, GrantSet, Net,
    derive::{self, Granted, Ground, granted},
    reach::{Reach, Scope},
};
use crate::model::{
    desired::{Access, Preset, Sandbox},
    rule::{Addresses, During, Effect, HostService, HttpMatch, Layer, NetworkRule, Origin},
};

/// What may run, and what waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricted<'a> {
    /// The desired state without what is not approved.
    pub sandbox: Cow<'a, Sandbox>,
    /// What was left out.
    pub parked: GrantSet,
    /// Why not even that may run.
    pub waits: Option<Waits>,
}

/// Why a whole sandbox waits: what is not approved cannot be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Waits {
    /// Its workspace is not approved, and is fixed when the sandbox is created.
    Workspace(Grant),
    /// Its file does without hardware virtualisation, and that is not approved.
    Isolation(Grant),
}

/// Leaves out of `desired` what `approved` does not cover. Of what is partly covered the covered part stays: a folder
/// that was approved for reading is mounted for reading.
#[must_use]
pub fn restrict<'a>(desired: &'a Sandbox, approved: &GrantSet, ground: &Ground) -> Restricted<'a> {
    restrict_by(desired, &[approved], ground)
}

/// As [`restrict`], with approvals of several sources.
#[must_use]
pub fn restrict_by<'a>(desired: &'a Sandbox, approved: &[&GrantSet], ground: &Ground) -> Restricted<'a> {
    let approved = &Approved(approved);
    let wanted = granted(desired, ground);
    if wanted.iter().all(|wanted| approved.covers(&wanted.grant)) {
        return Restricted { sandbox: Cow::Borrowed(desired), parked: GrantSet::default(), waits: None };
    }
    let open: GrantSet = wanted.into_iter().map(|Granted { grant, .. }| grant).collect();
    let parked = approved.missing(&open);
    let waits = parked.grants().iter().find_map(|grant| match grant {
        Grant::Workspace { .. } => Some(Waits::Workspace(grant.clone())),
        Grant::EmulationOk => Some(Waits::Isolation(grant.clone())),
        _ => None,
    });
    let mut sandbox = desired.clone();
    network(&mut sandbox, approved);
    sandbox.network.host_services.retain_mut(|service| keep_service(service, approved));
    sandbox.secrets.retain_mut(|secret| {
        let name = secret.name.clone();
        secret.inject.retain(|place| approved.covers(&derive::of_injection(&name, place)));
        !secret.inject.is_empty()
    });
    sandbox.mounts.retain_mut(|mount| {
        if approved.covers(&derive::of_mount(mount, ground)) {
            return true;
        }
        mount.access = Access::Read;
        approved.covers(&derive::of_mount(mount, ground))
    });
    sandbox.ports.retain(|port| approved.covers(&Grant::Port { guest: port.guest, host: port.host }));
    Restricted { sandbox: Cow::Owned(sandbox), parked, waits }
}

/// Approvals of several sources, not put together: that would cost more than most plans.
struct Approved<'a>(&'a [&'a GrantSet]);

impl Approved<'_> {
    fn covers(&self, wanted: &Grant) -> bool {
        self.0.iter().any(|set| set.covers(wanted))
            || (self.0.len() > 1
                && wanted.parts().iter().all(|part| self.0.iter().any(|set| set.covers(part))))
    }

    fn missing(&self, wanted: &GrantSet) -> GrantSet {
        self.0.iter().fold(wanted.clone(), |open, set| set.missing(&open))
    }

    fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter().flat_map(|set| set.grants())
    }
}

/// Keeps of a host service the requests that are approved; whether any are.
fn keep_service(service: &mut HostService, approved: &Approved<'_>) -> bool {
    let all = |service: &HostService| derive::of_service(service).iter().all(|grant| approved.covers(grant));
    if all(service) {
        return true;
    }
    let alone = |part: &HttpMatch| HostService { http: vec![part.clone()], ..service.clone() };
    let kept: Vec<HttpMatch> = split(&service.http).into_iter().filter(|part| all(&alone(part))).collect();
    service.http = kept;
    !service.http.is_empty()
}

/// Keeps of preset and rules what is approved.
fn network(sandbox: &mut Sandbox, approved: &Approved<'_>) {
    let denies = derive::denies(sandbox);
    let mut added = Vec::new();
    let preset = sandbox.network.preset;
    let wanted = Grant::preset(preset, &denies);
    if preset != Preset::LockedDown && !approved.covers(&wanted) {
        let narrower = approved.grants().filter_map(|grant| match grant {
            Grant::Preset { preset, except } if wanted.covers(grant) => Some((*preset, except)),
            _ => None,
        });
        // `open` before `balanced`.
        let narrower = narrower.max_by_key(|(preset, _)| *preset == Preset::Open);
        sandbox.network.preset = narrower.map_or(Preset::LockedDown, |(preset, _)| preset);
        let origin = sandbox.origins.get("network.preset").cloned().unwrap_or(NOWHERE);
        let excepts = narrower.into_iter().flat_map(|(_, except)| except);
        added.extend(excepts.filter_map(|except| deny(except, "network.preset", &origin)));
    }
    let rules = std::mem::take(&mut sandbox.network.rules);
    for rule in rules {
        let mut wanted = Vec::new();
        derive::of_rule(&rule, &denies, |grant| wanted.push(grant));
        if wanted.iter().all(|grant| approved.covers(grant)) {
            sandbox.network.rules.push(rule);
        } else {
            for (at, net) in approved_part(&wanted, approved).into_iter().enumerate() {
                added.extend(net.except.iter().filter_map(|except| deny(except, &rule.id, &rule.origin)));
                sandbox.network.rules.extend(narrowed(&rule, at, &net));
            }
        }
    }
    added.retain(|rule| !sandbox.network.rules.iter().any(|other| same_deny(other, rule)));
    for rule in added {
        if !sandbox.network.rules.iter().any(|other| same_deny(other, &rule)) {
            sandbox.network.rules.push(rule);
        }
    }
}

const NOWHERE: Origin = Origin { layer: Layer::Repository, file: None, line: None };

fn same_deny(left: &NetworkRule, right: &NetworkRule) -> bool {
    left.effect == right.effect
        && left.host == right.host
        && left.ports == right.ports
        && left.protocol == right.protocol
        && left.http == right.http
}

/// Of what a rule wants, the parts that are approved, and what is approved within them.
fn approved_part(wanted: &[Grant], approved: &Approved<'_>) -> Vec<Net> {
    let parts = wanted.iter().flat_map(Grant::parts);
    let covered = parts.filter(|part| approved.covers(part));
    let within = approved.grants().filter(|own| wanted.iter().any(|wanted| wanted.covers(own)));
    let asks = matches!(wanted.first(), Some(Grant::Ask(_)));
    let kept: GrantSet = covered.chain(within.cloned()).collect();
    let net = |grant: &Grant| match grant {
        Grant::Net(net) if !asks => Some(net.clone()),
        Grant::Ask(net) if asks => Some(net.clone()),
        _ => None,
    };
    kept.grants().iter().filter_map(net).collect()
}

/// The rule, narrowed to one approved part.
fn narrowed(rule: &NetworkRule, at: usize, net: &Net) -> Option<NetworkRule> {
    let Scope::Hosts { host, ports, set } = &net.reach.scope else { return None };
    let Reach { protocol, methods, path, .. } = &net.reach;
    let matcher = HttpMatch {
        methods: methods.list(),
        paths: path.iter().map(|path| path.as_str().to_owned()).collect(),
    };
    let http = if matcher == HttpMatch::default() { Vec::new() } else { vec![matcher] };
    let id = format!("{}#{}", rule.id, at + 1);
    let (host, ports, protocol, addresses) = (host.clone(), *ports, *protocol, net.addresses);
    let set = set.as_ref().map(|set| set.as_str().to_owned());
    let during = net.during;
    Some(NetworkRule { id, host, ports, protocol, http, addresses, during, set, ..rule.clone() })
}

/// The deny that an approved grant was narrowed by, where the file no longer has it.
fn deny(except: &Reach, id: &str, origin: &Origin) -> Option<NetworkRule> {
    let Scope::Hosts { host, ports, .. } = &except.scope else { return None };
    let matcher = HttpMatch {
        methods: except.methods.list(),
        paths: except.path.iter().map(|path| path.as_str().to_owned()).collect(),
    };
    Some(NetworkRule {
        id: format!("{id}#except"),
        effect: Effect::Deny,
        host: host.clone(),
        ports: *ports,
        protocol: except.protocol,
        http: if matcher == HttpMatch::default() { Vec::new() } else { vec![matcher] },
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "that this is no longer denied waits for an approval".to_owned(),
        origin: origin.clone(),
    })
}

/// A matcher for each method and path.
fn split(http: &[HttpMatch]) -> Vec<HttpMatch> {
    let one = |list: &[String]| -> Vec<Vec<String>> {
        if list.is_empty() { vec![Vec::new()] } else { list.iter().map(|it| vec![it.clone()]).collect() }
    };
    let mut all = Vec::new();
    for matcher in http {
        for methods in one(&matcher.methods) {
            let with = |paths| HttpMatch { methods: methods.clone(), paths };
            all.extend(one(&matcher.paths).into_iter().map(with));
        }
    }
    all
}
