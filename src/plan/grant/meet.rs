//! Whether two grants have something in common. Used for what a person never wants approved unseen: where a text cannot
//! tell, the answer is yes, which asks a person once too often. The opposite of [`Grant::covers`] in that.

use ipnet::IpNet;

use crate::model::rule::{Addresses, HostPattern};

use super::{
    Grant, Net, Place,
    cover::hosts_meet,
    reach::{Reach, Scope},
};

impl Grant {
    /// Whether something may be done under both. What is spoken, methods, paths and exceptions make no difference: whoever
    /// reaches a host reaches it.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Net(own) | Self::Ask(own), Self::Net(other) | Self::Ask(other)) => own.meets(other),
            // A preset says itself whom it reaches, and says another thing in another release.
            (Self::Preset { .. }, Self::Preset { .. } | Self::Net(_) | Self::Ask(_))
            | (Self::Net(_) | Self::Ask(_), Self::Preset { .. }) => true,
            (Self::Secret { name, host, .. }, Self::Secret { name: name2, host: host2, .. }) => {
                name == name2 && host == host2
            }
            (
                Self::Mount { source: own, .. } | Self::Workspace { path: own, .. },
                Self::Mount { source: other, .. } | Self::Workspace { path: other, .. },
            ) => places_meet(own, other),
            (Self::Port { guest, host }, Self::Port { guest: guest2, host: host2 }) => {
                guest == guest2 || (host.is_some() && host == host2)
            }
            (Self::HostService { name, port, .. }, Self::HostService { name: name2, port: port2, .. }) => {
                name == name2 || port == port2
            }
            (own, other) => own == other,
        }
    }
}

impl Net {
    fn meets(&self, other: &Self) -> bool {
        let (Scope::Hosts { host, ports, set }, Scope::Hosts { host: host2, ports: ports2, set: set2 }) =
            (&self.reach.scope, &other.reach.scope)
        else {
            return sets_meet(&self.reach, &other.reach);
        };
        let hosts = match (host, host2) {
            (HostPattern::Net(own), HostPattern::Net(other)) => own.contains(other) || other.contains(own),
            (HostPattern::Net(net), _) => may_resolve_into(other.addresses, net),
            (_, HostPattern::Net(net)) => may_resolve_into(self.addresses, net),
            // In one of the two orders the one that a deny's `**.x` stands for is tried.
            (own, other) => hosts_meet(own, other) || hosts_meet(other, own),
        };
        (hosts && ports.first <= ports2.last && ports2.first <= ports.last) || (set.is_some() && set == set2)
    }
}

/// Which hosts a set has is not in its name: it meets whatever is not another set.
fn sets_meet(own: &Reach, other: &Reach) -> bool {
    let name = |reach: &Reach| match &reach.scope {
        Scope::Set(name) | Scope::Unpinned(name) => Some(name.clone()),
        Scope::Hosts { set, .. } => set.clone(),
    };
    match (name(own), name(other)) {
        (Some(own), Some(other)) => own.covers(&other) || other.covers(&own) || own.is_same_registry(&other),
        _ => true,
    }
}

/// Whether a name with such addresses may lead into a network: no text says where it leads.
fn may_resolve_into(addresses: Addresses, net: &IpNet) -> bool {
    let is_private = match net {
        IpNet::V4(net) => net.network().is_private() && net.broadcast().is_private(),
        IpNet::V6(net) => net.prefix_len() >= 7 && net.network().segments()[0] & 0xfe00 == 0xfc00,
    };
    !is_private || addresses == Addresses::Private
}

/// Whether one lies in the other. Which of two anchors lies where, no text says.
fn places_meet(own: &Place, other: &Place) -> bool {
    std::mem::discriminant(own) != std::mem::discriminant(other) || own.covers(other) || other.covers(own)
}

#[test]
fn what_has_something_in_common_meets() {
    let meets = |own: &str, other: &str| {
        let [own, other] =
            [own, other].map(|text| text.parse::<Grant>().unwrap_or_else(|error| panic!("{text}: {error}")));
        assert_eq!(own.meets(&other), other.meets(&own), "{own} and {other}");
        own.meets(&other)
    };
    for (never, asked, expected) in [
        ("net * x.gist.example:443", "net DELETE,GET,PUT **.gist.example:443", true),
        ("net * x.gist.example:443", "net tcp x.gist.example:1-65535", true),
        ("net * gist.example:443", "net preset open except gist.example /zzz", true),
        ("net * gist.example:443", "net tls gist.example:443", true),
        ("net * gist.example:443", "ask GET gist.example:443 /x", true),
        ("net * *.gist.example:443", "net GET **.x.gist.example:443", true),
        ("net * **.gist.example:443", "net GET *.x.gist.example:443", true),
        ("net * gist.example:443", "net * other.example:443", false),
        ("net * gist.example:443", "net tcp gist.example:22", false),
        ("net tcp 10.0.0.0/8:5432", "net tcp db.corp.example:5432 private", true),
        ("net tcp 10.0.0.0/8:5432", "net tcp db.corp.example:5432", false),
        ("net * registry:npm", "net GET,HEAD registry:npm (npm.corp.example:443)", true),
        ("net * registry:npm", "net GET,HEAD registry:go (go.corp.example:443)", false),
        ("secret github → api.github.com", "secret github → api.github.com x-auth", true),
        ("secret github → api.github.com", "secret github → uploads.github.com", false),
        ("mount ~/.aws/sso read", "mount ~/.aws write", true),
        ("mount ~/.aws read", "workspace ~/.aws/x direct", true),
        ("mount ~/.aws read", "mount /home/ann/.aws read", true),
        ("mount ~/.aws read", "mount ~/data write", false),
        ("port 3000", "port 3000 → 8080", true),
        ("port 3000", "port 3001", false),
        ("host-service model 11434 *", "host-service other 11434 GET", true),
        ("isolation emulation-ok", "port 3000", false),
    ] {
        assert_eq!(meets(never, asked), expected, "{never} | {asked}");
    }
}
