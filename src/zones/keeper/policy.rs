//! The effective policy: every layer's rules in one revision.

use sha2::{Digest, Sha256};

use crate::{
    model::{
        api::PolicyRevision,
        rule::{Layer, Origin},
    },
    policy::{floor, preset},
    store::{Record, RuleSet},
};

/// Composes the layers: floor, repository (preset and rules), then what commands added for this user, for the
/// repository's sandboxes and for this one. The order says nothing about the verdict.
pub(super) fn compose(revision: u64, record: &Record, added: Vec<RuleSet>) -> PolicyRevision {
    let desired = &record.desired;
    // The narrowest scope that chose a preset counts.
    let chosen = added.iter().rev().find_map(|set| set.preset);
    let file = desired.provenance.file.as_ref().map(|file| file.display().to_string());
    let origin = match chosen {
        Some(_) => Origin { layer: Layer::User, file: None, line: None },
        None => Origin { layer: Layer::Repository, file, line: None },
    };
    let mut rules = floor::rules();
    rules.extend(preset::rules(chosen.unwrap_or(desired.network.preset), &origin));
    rules.extend(desired.network.rules.iter().cloned());
    rules.extend(added.into_iter().flat_map(|set| set.rules));
    let host_services = desired.network.host_services.clone();
    let hash = hash(&rules, &host_services);
    PolicyRevision { revision, hash, rules, host_services }
}

/// SHA-256 over the rules in their JSON form: two policies with one hash say the same.
fn hash(rules: &impl serde::Serialize, services: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(&(rules, services)).unwrap_or_default();
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}
