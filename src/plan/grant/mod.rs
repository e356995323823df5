//! Grants: what a sandbox may do to the world outside of it, one consequence each, in one spelling.
//!
//! ```text
//! net GET,HEAD registry:npm (npm.corp.example:443)    net preset balanced
//! net * **.acme.example:443 except gist.acme.example  secret github → github.com
//! net tcp db.corp.example:5432 private                mount ~/datasets read
//! net GET,HEAD registry:apt (…) during setup
//! ask * **.partner.example:443 until 2026-12-31       workspace . direct
//! host-service model 11434 GET,POST /v1/**            port 3000
//! isolation emulation-ok
//! ```
//!
//! A grant is written ([`Display`](std::fmt::Display)), read back strictly ([`FromStr`](std::str::FromStr): approvals are
//! files), and compared: [`Grant::covers`] is a partial order, wider above narrower. A deny is part of what it narrows
//! (`except`): whoever takes it away asks for more. The name of a set stands with what it resolved to, because a
//! registry that resolves to another host is another grant; without the host (`registry:npm`, `registry:*`) it is
//! the set whatever it resolves to, which only a person's own baseline should say.
//!
//! Pure, as all of `plan`. Read `derive`, `cover`, `set`, `restrict`; `text` and `read` are the spelling.

mod cover;
mod derive;
mod except;
mod held;
mod meet;
mod parked;
mod place;
mod rank;
mod reach;
mod read;
mod restrict;
mod set;
#[cfg(test)]
mod tests;
mod text;
mod words;

use crate::model::{
    desired::{Access, Preset, WorkspaceMode},
    end::End,
    rule::{Addresses, During},
};

pub use derive::{Granted, Ground, granted};
pub use held::{Held, Source};
pub use parked::parked;
pub use place::Place;
pub use reach::{Methods, PathPattern, Reach, Scope, SetName};
pub use read::{GRANT_MAX, GrantError};
pub use restrict::{Restricted, Waits, restrict, restrict_by};
pub use set::GrantSet;

/// One consequence of a desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Requests or connections that pass.
    Net(Net),
    /// Requests or connections about which a person is asked.
    Ask(Net),
    /// A preset below the rules. Never `locked-down`, which grants nothing.
    Preset {
        /// Which.
        preset: Preset,
        /// What rules deny of it.
        except: Vec<Reach>,
    },
    /// A secret put into requests for one host.
    Secret {
        /// The operator's name for it.
        name: String,
        /// Exact host name.
        host: String,
        /// Port.
        port: u16,
        /// Header, lower-case.
        header: String,
    },
    /// A host folder.
    Mount {
        /// Which.
        source: Place,
        /// Who may write.
        access: Access,
    },
    /// The folder that the agent works on, where it lies outside of the repository or is written directly.
    Workspace {
        /// Which.
        path: Place,
        /// How it enters.
        mode: WorkspaceMode,
    },
    /// A port of the guest on the host's loopback.
    Port {
        /// Port in the guest.
        guest: u16,
        /// The port that is wished for; else any free one.
        host: Option<u16>,
    },
    /// A service on the host's loopback.
    HostService {
        /// First label of its name.
        name: String,
        /// Port on the host's loopback.
        port: u16,
        /// Methods.
        methods: Methods,
        /// Paths; none: all.
        path: Option<PathPattern>,
    },
    /// A machine without hardware virtualisation will do.
    EmulationOk,
}

/// What passes, and what of it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    /// Whom, with what.
    pub reach: Reach,
    /// Which upstream addresses the name may have.
    pub addresses: Addresses,
    /// While what it passes.
    pub during: During,
    /// Until when; none: for ever.
    pub until: Option<End>,
    /// What rules deny of it: sorted, none within another, each overlapping `reach`.
    pub except: Vec<Reach>,
}

impl serde::Serialize for Grant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Grant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
