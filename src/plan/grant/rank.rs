//! Which grant a reviewer has to see first, where there is no room for all.

use crate::model::{
    desired::Access,
    rule::{Addresses, HostPattern, Protocol},
};

use super::{Grant, Net, reach::Scope};

impl Grant {
    /// How urgently a person has to see it: the lowest first.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Net(net) | Self::Ask(net) if net.is_broad() => 0,
            Self::Preset { .. } | Self::Mount { access: Access::Write, .. } => 0,
            Self::Secret { .. } | Self::Mount { .. } | Self::Workspace { .. } => 1,
            Self::Net(_) | Self::HostService { .. } => 2,
            Self::Ask(_) | Self::Port { .. } | Self::EmulationOk => 3,
        }
    }
}

impl Net {
    /// Whether it passes unseen, to whole domains or networks, or to private addresses.
    const fn is_broad(&self) -> bool {
        let opaque = matches!(self.reach.protocol, None | Some(Protocol::Tcp | Protocol::Tls));
        let deep = matches!(
            &self.reach.scope,
            Scope::Hosts { host: HostPattern::AnyDepth(_) | HostPattern::Any | HostPattern::Net(_), .. }
        );
        opaque || deep || matches!(self.addresses, Addresses::Private)
    }
}

#[test]
fn what_is_widest_is_seen_first() {
    for (text, expected) in [
        ("net preset open", 0),
        ("net * **.evil.example:443", 0),
        ("ask * **.evil.example:443", 0),
        ("net * **:443", 0),
        ("net tcp db.corp.example:5432", 0),
        ("net tls db.corp.example:5432", 0),
        ("net * db.corp.example:443 private", 0),
        ("mount ~/data write", 0),
        ("mount ~/data read", 1),
        ("secret github → github.com", 1),
        ("workspace . direct", 1),
        ("net GET,HEAD registry:npm (npm.corp.example:443)", 2),
        ("net * docs.example:443 except docs.example /x", 2),
        ("host-service model 11434 *", 2),
        ("ask * docs.example:443", 3),
        ("port 3000", 3),
        ("isolation emulation-ok", 3),
    ] {
        let grant: Grant = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(grant.rank(), expected, "{text}");
    }
}
