//! The effective policy: every layer's rules in one revision.

use sha2::{Digest, Sha256};

use super::{floor, preset};
use crate::model::{
    api::PolicyRevision,
    desired::{Network, Preset},
    rule::{During, Layer, NetworkRule, Origin},
};

/// Composes floor, the repository's preset and rules (`declared`, from `file`), and what commands added, in the order
/// of user, repository and sandbox. A preset that a command `chose` counts before the declared one; it is the user's.
/// The order of rules says nothing about a verdict. Rules for set-up steps are not in force: [`staged`] puts them.
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
    staged(PolicyRevision { revision, hash: String::new(), rules, host_services, setup: false }, false)
}

/// The same policy while set-up steps run, or when they no longer do.
#[must_use]
pub fn staged(policy: PolicyRevision, setup: bool) -> PolicyRevision {
    let hash = hash(&policy, setup);
    PolicyRevision { hash, setup, ..policy }
}

/// Ids of the rules that hold for set-up steps alone.
#[must_use]
pub fn setup_rules(policy: &PolicyRevision) -> Vec<String> {
    let own = policy.rules.iter().filter(|rule| rule.during == During::Setup);
    own.map(|rule| rule.id.clone()).collect()
}

/// SHA-256 over the rules in their JSON form: two policies with one hash say the same.
fn hash(policy: &PolicyRevision, setup: bool) -> String {
    let (rules, services) = (&policy.rules, &policy.host_services);
    let json = match setup && !setup_rules(policy).is_empty() {
        false => serde_json::to_vec(&(rules, services)),
        true => serde_json::to_vec(&(rules, services, "setup")),
    };
    let json = json.unwrap_or_default();
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}
