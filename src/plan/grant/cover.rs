//! What is wider than what. Reflexive, transitive, and two that cover each other are equal; where a text cannot tell,
//! the answer is no, which asks a person once too often.

use crate::model::{
    desired::{Access, Preset, WorkspaceMode},
    end::End,
    rule::{Addresses, During, HostPattern, Ports, Protocol},
};

use super::{
    Grant, Net,
    reach::{PathPattern, Reach, Scope},
};

impl Grant {
    /// Whether whoever may do this may do `other` too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Net(own), Self::Net(other) | Self::Ask(other)) | (Self::Ask(own), Self::Ask(other)) => {
                own.covers(other)
            }
            (Self::Preset { preset, except }, Self::Preset { preset: other, except: theirs }) => {
                (preset == other || *preset == Preset::Open) && none_lost(except, None, theirs)
            }
            (Self::Preset { preset: Preset::Open, except }, Self::Net(net) | Self::Ask(net)) => {
                is_public_web(net) && none_lost(except, Some(&net.reach), &net.except)
            }
            (Self::Mount { source, access }, Self::Mount { source: other, access: theirs }) => {
                source.covers(other) && (access == theirs || *access == Access::Write)
            }
            (Self::Workspace { path, mode }, Self::Workspace { path: other, mode: theirs }) => {
                path.covers(other) && (mode == theirs || *mode == WorkspaceMode::Direct)
            }
            (Self::Port { guest, host }, Self::Port { guest: other, host: theirs }) => {
                guest == other && (host == theirs || theirs.is_none())
            }
            (
                Self::HostService { name, port, methods, path },
                Self::HostService { name: name2, port: port2, methods: methods2, path: path2 },
            ) => {
                name == name2
                    && port == port2
                    && methods.covers(methods2)
                    && paths_cover(path.as_ref(), path2.as_ref())
            }
            (own, other) => own == other,
        }
    }
}

impl Net {
    fn covers(&self, other: &Self) -> bool {
        (self.addresses == other.addresses || self.addresses == Addresses::Private)
            && (self.during == other.during || self.during == During::Always)
            && End::covers(self.until, other.until)
            && self.reach.covers(&other.reach)
            && none_lost(&self.except, Some(&other.reach), &other.except)
    }
}

/// Whether what we deny of `reach` is denied there too: a wide grant with an exception does not cover one without.
fn none_lost(ours: &[Reach], reach: Option<&Reach>, theirs: &[Reach]) -> bool {
    // Most often both are narrowed by the same rules.
    if ours == theirs {
        return true;
    }
    // Method by method: they may stand in one exception here and in several there.
    ours.iter().flat_map(Reach::each_method).all(|own| {
        reach.is_some_and(|reach| !own.denies_some_of(reach))
            || theirs.iter().any(|other| other.denies_all_of(&own))
    })
}

/// What the preset `open` lets pass: names over HTTPS on 443 and HTTP on 80, at public addresses.
fn is_public_web(net: &Net) -> bool {
    let Scope::Hosts { host, ports, .. } = &net.reach.scope else { return false };
    let usual = (ports.first == ports.last).then(|| Protocol::default_for(ports.first)).flatten();
    !matches!(host, HostPattern::Net(_))
        && net.addresses == Addresses::Public
        && usual.is_some()
        && net.reach.protocol == usual
}

impl Reach {
    /// Whether an allow of this lets everything pass that one of `other` does.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let scope = match (&self.scope, &other.scope) {
            (
                Scope::Set(own),
                Scope::Set(other) | Scope::Unpinned(other) | Scope::Hosts { set: Some(other), .. },
            ) => own.covers(other),
            (Scope::Unpinned(own), Scope::Unpinned(other)) => own == other,
            (Scope::Hosts { host, ports, set }, Scope::Hosts { host: host2, ports: ports2, set: set2 }) => {
                (set.is_none() || set == set2) && ports_cover(*ports, *ports2) && host_covers(host, host2)
            }
            _ => false,
        };
        scope && self.requests_cover(other)
    }

    fn requests_cover(&self, other: &Self) -> bool {
        self.protocol_and_methods_cover(other) && paths_cover(self.path.as_ref(), other.path.as_ref())
    }

    fn protocol_and_methods_cover(&self, other: &Self) -> bool {
        (self.protocol.is_none() || self.protocol == other.protocol) && self.methods.covers(&other.methods)
    }

    /// Whether a deny of this denies everything that one of `other` does.
    pub(super) fn denies_all_of(&self, other: &Self) -> bool {
        let scope = match (&self.scope, &other.scope) {
            (Scope::Unpinned(own), Scope::Unpinned(other)) => own.is_same_registry(other),
            (Scope::Hosts { host, ports, .. }, Scope::Hosts { host: host2, ports: ports2, .. }) => {
                let host = host_covers(host, host2)
                    // In a deny `**.x` stands for `x` too.
                    || matches!((host, host2), (HostPattern::AnyDepth(own), HostPattern::Exact(other)) if own == other);
                host && ports_cover(*ports, *ports2)
            }
            _ => false,
        };
        let path = self.path.is_none()
            || other
                .path
                .as_ref()
                .and_then(PathPattern::lower)
                .is_some_and(|path| paths_cover(self.path.as_ref(), Some(&path)));
        scope && path && self.protocol_and_methods_cover(other)
    }

    /// Whether a deny of this takes something from an allow of `other`. Where paths would have to tell, it says yes.
    pub(super) fn denies_some_of(&self, other: &Self) -> bool {
        let protocol = self.protocol.is_none() || other.protocol.is_none() || self.protocol == other.protocol;
        let scope = match (&self.scope, &other.scope) {
            (Scope::Unpinned(own), Scope::Unpinned(other)) => own.is_same_registry(other),
            // Every rule for a host would otherwise be an exception of every registry.
            (Scope::Hosts { .. }, Scope::Unpinned(_)) => false,
            (Scope::Hosts { host, ports, .. }, Scope::Hosts { host: host2, ports: ports2, .. }) => {
                ports.first <= ports2.last && ports2.first <= ports.last && hosts_meet(host, host2)
            }
            _ => true,
        };
        scope && protocol && self.methods.meets(&other.methods)
    }
}

const fn ports_cover(own: Ports, other: Ports) -> bool {
    own.first <= other.first && other.last <= own.last
}

fn paths_cover(own: Option<&PathPattern>, other: Option<&PathPattern>) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(other)) => own.covers(other),
    }
}

/// Whether `name` lies below `suffix`, by one label or more.
fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn host_covers(own: &HostPattern, other: &HostPattern) -> bool {
    use HostPattern::{Any, AnyDepth, Exact, Net, OneLabel};
    match (own, other) {
        (Any, Exact(_) | OneLabel(_) | AnyDepth(_) | Any) => true,
        (AnyDepth(own), Exact(other)) => is_below(other, own),
        (AnyDepth(own), OneLabel(other) | AnyDepth(other)) => own == other || is_below(other, own),
        (OneLabel(own), Exact(other)) => other.split_once('.').is_some_and(|(_, rest)| rest == own),
        (Net(own), Net(other)) => own.contains(other),
        _ => own == other,
    }
}

/// Whether some host is in both, the first being a deny's.
pub(super) fn hosts_meet(deny: &HostPattern, other: &HostPattern) -> bool {
    use HostPattern::{AnyDepth, Exact, OneLabel};
    if host_covers(deny, other) || host_covers(other, deny) {
        return true;
    }
    match (deny, other) {
        (AnyDepth(deny), Exact(other)) => deny == other,
        // The suffix itself is denied too, and may be the one label.
        (AnyDepth(deny), OneLabel(other)) => is_below(deny, other),
        (OneLabel(deny), AnyDepth(other)) => deny == other || is_below(deny, other),
        _ => false,
    }
}
