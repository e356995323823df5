//! Named sets in patterns: `registry:npm`, `registry:npm+publish`, `bundle:paste-sites`, `service:github`.
//!
//! A set is written as one pattern and becomes one rule per host of it. Bundles come with the program (`bundles`),
//! services with the program or with the files, registries from the host: their addresses are facts that
//! [`super::Context`] holds as data, because nothing here may ask a client or read its configuration. A registry that
//! nobody looked up yet is a finding that `wants` it; whoever holds the host looks it up and reads once more.
//!
//! `sandbox.lock` lies in the repository, where an agent can write it. Its entry is used, but only where this host
//! itself says the same do the rules carry the set's name: what was approved as `registry:npm` covers what this host
//! takes for that registry and nothing else. Other entries stand as plain hosts, and are asked about as such.

mod bundles;
mod expand;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(super) use expand::is_name;
pub use expand::named_set;

use super::{lock::Lock, problem::Code, resolve::ServiceKit};
use crate::model::{
    registry::Registries,
    rule::{HostPattern, HttpMatch, Ports, Protocol},
};

/// What is known of registries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) registries: &'a Registries,
    /// The `sandbox.lock` beside the files.
    pub(super) lock: Option<&'a Lock>,
    /// Whether nothing may be resolved that is not in it.
    pub(super) locked: bool,
}

/// What named sets mean in a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets<'a> {
    pub(super) services: &'a BTreeMap<String, ServiceKit>,
    pub(super) facts: Facts<'a>,
}

/// One host of a set, as a rule would name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whom it speaks of.
    pub host: HostPattern,
    /// Ports, where the set says which.
    pub ports: Option<Ports>,
    /// What is spoken there, where the set says it.
    pub protocol: Option<Protocol>,
    /// Requests that the set is made of; empty: all.
    pub http: Vec<HttpMatch>,
}

/// What a set became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// Its hosts.
    pub members: Vec<Member>,
    /// The set's name for the rules; none where only the lock file says what it is.
    pub set: Option<String>,
    /// Whether it says itself what is spoken and which requests pass.
    pub complete: bool,
    /// What the author should know.
    pub warning: Option<Trouble>,
}

/// Why a set means nothing here, or not what one would think.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// Its sort.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Registry that has to be looked up first.
    pub wants: Option<String>,
}
