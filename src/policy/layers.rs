//! The effective policy: every layer's rules in one revision.

use sha2::{Digest, Sha256};

use super::{floor, preset};
use crate::model::{
    api::PolicyRevision,
    desired::{Network, Preset},
    rule::{Layer, NetworkRule, Origin},
};

/// Composes floor, the repository's preset and rules (`declared`, from `file`), and what commands added, in the order
/// of user, repository and sandbox. A preset that a command `chose` counts before the declared one; it is the user's.
/// The order of rules says nothing about a verdict.
#[must_use]
pub fn compose(
    revision: u64,
    declared: &Network,
    file: Option<String>,
    chose: Option<Preset>,
    added: impl IntoIterator<Item = NetworkRule>,
) -> PolicyRevision {
    let origin = match chose {
        Some(_) => Origin { layer: Layer::User, file: None, line: None },
        None => Origin { layer: Layer::Repository, file, line: None },
    };
    let mut rules = floor::rules();
    rules.extend(preset::rules(chose.unwrap_or(declared.preset), &origin));
    rules.extend(declared.rules.iter().cloned());
    rules.extend(added);
    let host_services = declared.host_services.clone();
    let hash = hash(&rules, &host_services);
    PolicyRevision { revision, hash, rules, host_services }
}

/// SHA-256 over the rules in their JSON form: two policies with one hash say the same.
fn hash(rules: &impl serde::Serialize, services: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(&(rules, services)).unwrap_or_default();
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}
