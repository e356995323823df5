//! The desired state with everything left out that nobody approved: what tightens applies at once, what widens waits,
//! grant by grant, while the rest runs.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{
    Grant, GrantSet, Net, Source,
    derive::{self, Granted, Ground, granted},
    reach::{Reach, Scope},
};
use crate::model::{
    desired::{Access, Preset, Sandbox},
    end::End,
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

impl Waits {
    /// What a grant that cannot be left out keeps waiting.
    #[must_use]
    pub fn of(grant: &Grant) -> Option<Self> {
        match grant {
            Grant::Workspace { .. } => Some(Self::Workspace(grant.clone())),
            Grant::EmulationOk => Some(Self::Isolation(grant.clone())),
            _ => None,
        }
    }

    /// That grant.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        let (Self::Workspace(grant) | Self::Isolation(grant)) = self;
        grant
    }

    /// The field that asks for it.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Workspace(_) => "workspace",
            Self::Isolation(_) => "isolation",
        }
    }
}

/// Leaves out of `desired` what `approved` does not cover. Of what is partly covered the covered part stays: a folder
/// that was approved for reading is mounted for reading.
#[must_use]
pub fn restrict<'a>(desired: &'a Sandbox, approved: &GrantSet, ground: &Ground) -> Restricted<'a> {
    restrict_by(desired, &[(None, approved)], ground)
}

/// As [`restrict`], with approvals of several sources. What an approval with an end covers gets that end, where it can
/// have one: rules, the preset and services of the host.
#[must_use]
pub fn restrict_by<'a>(desired: &'a Sandbox, approved: &[Source<'_>], ground: &Ground) -> Restricted<'a> {
    let approved = &Approved(approved);
    let wanted = granted(desired, ground);
    if wanted.iter().all(|wanted| approved.covers_for_ever(&wanted.grant)) {
        return Restricted { sandbox: Cow::Borrowed(desired), parked: GrantSet::default(), waits: None };
    }
    let open: GrantSet = wanted.into_iter().map(|Granted { grant, .. }| grant).collect();
    let parked = approved.missing(&open);
    let waits = parked.grants().iter().find_map(Waits::of);
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
struct Approved<'a>(&'a [Source<'a>]);

impl Approved<'_> {
    fn covers(&self, wanted: &Grant) -> bool {
        self.covers_by(wanted, |_| true)
    }

    fn covers_for_ever(&self, wanted: &Grant) -> bool {
        self.covers_by(wanted, |end| end.is_none())
    }

    fn covers_by(&self, wanted: &Grant, counts: impl Fn(Option<End>) -> bool) -> bool {
        let any = |part: &Grant| self.0.iter().any(|(end, set)| counts(*end) && set.covers(part));
        any(wanted) || (self.0.len() > 1 && wanted.parts().iter().all(any))
    }

    /// Until when what is covered is approved: each part as long as any approval of it, the whole as long as all parts.
    fn end(&self, wanted: &Grant) -> Option<End> {
        let covering = |part: &Grant| {
            let ends = self.0.iter().filter(|(_, set)| set.covers(part)).map(|(end, _)| *end);
            ends.reduce(End::later).flatten()
        };
        wanted.parts().iter().map(covering).fold(None, End::earlier)
    }

    fn missing(&self, wanted: &GrantSet) -> GrantSet {
        self.0.iter().fold(wanted.clone(), |open, (_, set)| set.missing(&open))
    }

    fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter().flat_map(|(_, set)| set.grants())
    }
}

/// Keeps of a host service the requests that are approved; whether any are.
fn keep_service(service: &mut HostService, approved: &Approved<'_>) -> bool {
    let all = |service: &HostService| derive::of_service(service).iter().all(|grant| approved.covers(grant));
    let ends = |service: &HostService| {
        derive::of_service(service).iter().map(|grant| approved.end(grant)).fold(None, End::earlier)
    };
    if all(service) {
        service.until = End::earlier(service.until, ends(service));
        return true;
    }
    let alone = |part: &HttpMatch| HostService { http: vec![part.clone()], ..service.clone() };
    let kept: Vec<HttpMatch> = split(&service.http).into_iter().filter(|part| all(&alone(part))).collect();
    service.http = kept;
    if !service.http.is_empty() {
        service.until = End::earlier(service.until, ends(service));
    }
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
        let kept = narrower.map(|(preset, except)| Grant::Preset { preset, except: except.clone() });
        let end = kept.and_then(|kept| approved.end(&kept));
        sandbox.network.preset_until = End::earlier(sandbox.network.preset_until, end);
        let origin = sandbox.origins.get("network.preset").cloned().unwrap_or(NOWHERE);
        let excepts = narrower.into_iter().flat_map(|(_, except)| except);
        added.extend(excepts.filter_map(|except| deny(except, "network.preset", &origin)));
    } else if preset != Preset::LockedDown {
        let end = approved.end(&wanted);
        sandbox.network.preset_until = End::earlier(sandbox.network.preset_until, end);
    }
    let rules = std::mem::take(&mut sandbox.network.rules);
    for rule in rules {
        let mut wanted = Vec::new();
        derive::of_rule(&rule, &denies, |grant| wanted.push(grant));
        let mut ends = wanted.iter().flat_map(Grant::parts).map(|part| approved.end(&part));
        let first = ends.next().flatten();
        if wanted.iter().all(|grant| approved.covers(grant)) && ends.all(|end| end == first) {
            sandbox.network.rules.push(NetworkRule { until: End::earlier(rule.until, first), ..rule });
            continue;
        }
        for (at, (net, end)) in approved_part(&wanted, approved).into_iter().enumerate() {
            added.extend(net.except.iter().filter_map(|except| deny(except, &rule.id, &rule.origin)));
            sandbox.network.rules.extend(narrowed(&rule, at, &net, end));
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
        && left.until == right.until
}

/// Of what a rule wants, the parts that are approved, and what is approved within them, each until its approval ends.
fn approved_part(wanted: &[Grant], approved: &Approved<'_>) -> Vec<(Net, Option<End>)> {
    let parts = wanted.iter().flat_map(Grant::parts);
    let covered = parts.filter(|part| approved.covers(part));
    let within = approved.grants().filter(|own| wanted.iter().any(|wanted| wanted.covers(own)));
    let asks = matches!(wanted.first(), Some(Grant::Ask(_)));
    let mut kept: BTreeMap<Option<End>, Vec<Grant>> = BTreeMap::new();
    for part in covered.chain(within.flat_map(Grant::parts)) {
        kept.entry(approved.end(&part)).or_default().push(part);
    }
    let net = |grant: &Grant| match grant {
        Grant::Net(net) if !asks => Some(net.clone()),
        Grant::Ask(net) if asks => Some(net.clone()),
        _ => None,
    };
    let nets = |(end, grants): (Option<End>, Vec<Grant>)| {
        let set: GrantSet = grants.into_iter().collect();
        set.grants().iter().filter_map(net).map(|net| (net, end)).collect::<Vec<_>>()
    };
    kept.into_iter().flat_map(nets).collect()
}

/// The rule, narrowed to one approved part.
fn narrowed(rule: &NetworkRule, at: usize, net: &Net, end: Option<End>) -> Option<NetworkRule> {
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
    let until = End::earlier(net.until, end);
    Some(NetworkRule { id, host, ports, protocol, http, addresses, during, set, until, ..rule.clone() })
}

/// The deny that an approved grant was narrowed by, where the file no longer has it.
fn deny(except: &Reach, id: &str, origin: &Origin) -> Option<NetworkRule> {
    let Scope::Hosts { host, ports, .. } = &except.scope else { return None };
    let matcher = HttpMatch {
        methods: except.methods.list(),
        paths: except.path.iter().map(|path| path.as_str().to_owned()).collect(),
    };
    Some(NetworkRule {
        until: None,
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
