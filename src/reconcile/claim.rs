//! What two sandboxes cannot both have: while a removal failed, nobody may take what it still holds.

use std::{collections::BTreeSet, fmt};

use crate::{model::desired::Sandbox, plan::Observed};

/// One thing of the host that one sandbox has at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A port of the host's loopback that the file names. One that may be any is nobody's.
    Port(u16),
}

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(formatter, "port {port}"),
        }
    }
}

/// What the machine of a sandbox has now. The record does not know: it may say already what shall be.
pub(super) fn held(observed: &Observed) -> BTreeSet<Claim> {
    observed.ports.iter().copied().map(Claim::Port).collect()
}

/// What a sandbox takes when it starts.
pub(super) fn claims(sandbox: &Sandbox) -> BTreeSet<Claim> {
    sandbox.ports.iter().filter_map(|port| port.host).map(Claim::Port).collect()
}
