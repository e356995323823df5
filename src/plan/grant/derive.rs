//! The grants that a desired state asks for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Grant, Net,
    except::Denies,
    place::Place,
    reach::{Methods, PathPattern, Reach, Scope, SetName},
    text,
};
use crate::model::{
    desired::{IsolationWish, Mount, Preset, Sandbox, WorkspaceMode},
    registry,
    rule::{Addresses, Effect, HostPattern, HostService, HttpMatch, NetworkRule, Origin},
    secret::Injection,
};

/// What paths are named from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ground {
    /// Root of the repository that holds the file; outside of one the folder that stands for it. Absolute.
    pub root: PathBuf,
    /// The user's home, absolute.
    pub home: PathBuf,
}

/// A grant with what a reviewer wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted<'a> {
    /// What.
    pub grant: Grant,
    /// Why, as the file says.
    pub why: &'a str,
    /// Where it stands.
    pub origin: Option<&'a Origin>,
}

/// What `sandbox` asks for, in the order of its fields; the same may stand there twice.
///
/// Environment, files, commands in the guest and build steps are not among them: they run under these grants and add
/// none.
#[must_use]
pub fn granted<'a>(sandbox: &'a Sandbox, ground: &Ground) -> Vec<Granted<'a>> {
    let denies = denies(sandbox);
    let mut all = Vec::new();
    let preset = sandbox.network.preset;
    if preset != Preset::LockedDown {
        all.push(plain(Grant::preset(preset, &denies), sandbox.origins.get("network.preset")));
    }
    for rule in &sandbox.network.rules {
        of_rule(rule, &denies, |grant| {
            all.push(Granted { grant, why: &rule.why, origin: Some(&rule.origin) });
        });
    }
    for service in &sandbox.network.host_services {
        let with = |grant| Granted { grant, why: &service.why, origin: Some(&service.origin) };
        all.extend(of_service(service).into_iter().map(with));
    }
    for secret in &sandbox.secrets {
        for place in &secret.inject {
            let grant = of_injection(&secret.name, place);
            all.push(Granted { grant, why: &secret.why, origin: Some(&secret.origin) });
        }
    }
    if let Some(workspace) = &sandbox.workspace {
        let path = Place::of(&workspace.path, ground);
        let outside = !matches!(path, Place::Repository(_));
        if outside || workspace.mode == WorkspaceMode::Direct {
            all.push(plain(Grant::Workspace { path, mode: workspace.mode }, Some(&workspace.origin)));
        }
    }
    for mount in &sandbox.mounts {
        let grant = of_mount(mount, ground);
        all.push(Granted { grant, why: &mount.why, origin: Some(&mount.origin) });
    }
    for port in &sandbox.ports {
        all.push(plain(Grant::Port { guest: port.guest, host: port.host }, Some(&port.origin)));
    }
    if sandbox.isolation == IsolationWish::EmulationOk {
        all.push(plain(Grant::EmulationOk, sandbox.origins.get("isolation")));
    }
    all
}

const fn plain(grant: Grant, origin: Option<&Origin>) -> Granted<'_> {
    Granted { grant, why: "", origin }
}

pub(super) fn of_mount(mount: &Mount, ground: &Ground) -> Grant {
    Grant::Mount { source: Place::of(&mount.source, ground), access: mount.access }
}

pub(super) fn of_injection(name: &str, place: &Injection) -> Grant {
    Grant::Secret {
        name: name.to_owned(),
        host: place.host.clone(),
        port: place.port,
        header: place.header.clone(),
    }
}

/// The grants of one host service: one for each path.
pub(super) fn of_service(service: &HostService) -> Vec<Grant> {
    let grant = |(methods, path)| Grant::HostService {
        name: service.name.clone(),
        port: service.port,
        methods,
        path,
    };
    requests(&service.http).into_iter().map(grant).collect()
}

/// What the sandbox's own rules deny: part of every grant that it would otherwise be in. A deny that ends is none of
/// them: what it leaves open later is granted now.
pub(super) fn denies(sandbox: &Sandbox) -> Denies {
    let mut all = Vec::new();
    let lasting = |rule: &&NetworkRule| rule.effect == Effect::Deny && rule.until.is_none();
    for rule in sandbox.network.rules.iter().filter(lasting) {
        for (methods, path) in requests(&rule.http) {
            let mut scope = scope(rule);
            if let Scope::Hosts { set, .. } = &mut scope {
                *set = None;
            }
            all.push(Reach { scope, protocol: rule.protocol, methods, path });
        }
    }
    Denies::new(&all)
}

/// The grants of one rule: one for each path.
pub(super) fn of_rule(rule: &NetworkRule, denies: &Denies, mut add: impl FnMut(Grant)) {
    let make = match rule.effect {
        Effect::Deny => return,
        Effect::Allow => Grant::Net,
        Effect::Ask => Grant::Ask,
    };
    let scope = scope(rule);
    let protocol = rule.protocol.or_else(|| text::usual(rule.ports));
    let opaque = text::is_opaque(protocol);
    for (methods, path) in requests(if opaque { &[] } else { &rule.http }) {
        let reach = Reach { scope: scope.clone(), protocol, methods, path };
        // Only a grant for exactly this host may lead to private addresses, whatever the rule says.
        let exact = matches!(rule.host, HostPattern::Exact(_) | HostPattern::Net(_));
        let addresses = if exact { rule.addresses } else { Addresses::Public };
        if let Some(net) = Net::new(reach, addresses, rule.during, denies) {
            add(make(Net { until: rule.until, ..net }));
        }
    }
}

fn scope(rule: &NetworkRule) -> Scope {
    let set = rule.set.as_deref().and_then(SetName::new);
    match set {
        Some(set) if registry::unpinned(rule).is_some() => Scope::Unpinned(set),
        set => Scope::Hosts { host: canonical(&rule.host), ports: rule.ports, set },
    }
}

/// Methods with each path; none of both means all.
fn requests(http: &[HttpMatch]) -> Vec<(Methods, Option<PathPattern>)> {
    if http.is_empty() {
        return vec![(Methods::All, None)];
    }
    let mut all = Vec::new();
    for matcher in http {
        let methods = Methods::new(&matcher.methods);
        if matcher.paths.is_empty() {
            all.push((methods, None));
        } else {
            all.extend(matcher.paths.iter().map(|path| (methods.clone(), PathPattern::new(path))));
        }
    }
    all
}

fn canonical(host: &HostPattern) -> HostPattern {
    match host {
        HostPattern::Net(net) => HostPattern::Net(net.trunc()),
        other => other.clone(),
    }
}

impl Grant {
    /// Whether it names a set and none of its hosts.
    #[must_use]
    pub const fn is_of_a_set(&self) -> bool {
        matches!(self, Self::Net(net) | Self::Ask(net) if matches!(net.reach.scope, Scope::Set(_)))
    }

    /// Whether it names a registry that nothing pins.
    #[must_use]
    pub const fn is_unpinned(&self) -> bool {
        matches!(self, Self::Net(net) | Self::Ask(net) if matches!(net.reach.scope, Scope::Unpinned(_)))
    }

    /// A preset without what is denied of it.
    #[must_use]
    pub(super) fn preset(preset: Preset, denies: &Denies) -> Self {
        Self::Preset { preset, except: denies.exceptions() }
    }
}
