//! The effective policy: every layer's rules in one revision.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{floor, preset};
use crate::model::{
    api::PolicyRevision,
    desired::{Network, Preset},
    end::End,
    parked::{Idle, ParkedRule},
    rule::{During, Layer, NetworkRule, Origin},
};

/// Most parked rules of a policy: so many a person may have to answer for.
const PARKED_MAX: usize = 512;
/// Most bytes of them all, as JSON: little beside the rules of a policy.
const PARKED_BYTES_MAX: usize = 256 << 10;

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
    let until = declared.preset_until.filter(|_| chose.is_none());
    let preset = preset::rules(chose.unwrap_or(declared.preset), &origin);
    rules.extend(preset.into_iter().map(|rule| NetworkRule { until, ..rule }));
    rules.extend(declared.rules.iter().cloned());
    rules.extend(added);
    let host_services = declared.host_services.clone();
    let policy = PolicyRevision { revision, rules, host_services, ..PolicyRevision::default() };
    staged(policy, false)
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

/// The same policy, with what stands in a file and is not in force. These are words: their number and size are bounded,
/// so that no file keeps a policy from reaching egress.
#[must_use]
pub fn parking(mut policy: PolicyRevision, parked: impl IntoIterator<Item = ParkedRule>) -> PolicyRevision {
    let size = |rule: &ParkedRule| serde_json::to_vec(rule).map_or(PARKED_BYTES_MAX, |json| json.len());
    let mut room = PARKED_BYTES_MAX.saturating_sub(policy.parked.iter().map(size).sum());
    for rule in parked {
        let size = size(&rule);
        if size <= room && policy.parked.len() < PARKED_MAX {
            room -= size;
            policy.parked.push(rule);
        }
    }
    policy
}

/// The policy as it is at `now`: what has ended is parked.
#[must_use]
pub fn at(policy: PolicyRevision, now: Timestamp) -> PolicyRevision {
    let lasts = |until: Option<End>| until.is_none_or(|until| !until.is_over(now));
    if policy.rules.iter().all(|rule| lasts(rule.until))
        && policy.host_services.iter().all(|it| lasts(it.until))
    {
        return policy;
    }
    let over = policy.rules.iter().filter(|rule| !lasts(rule.until));
    let ended: Vec<ParkedRule> =
        over.filter_map(|rule| ParkedRule::of(rule, Idle::Ended(rule.until?))).collect();
    let mut policy = parking(policy, ended);
    policy.rules.retain(|rule| lasts(rule.until));
    policy.host_services.retain(|service| lasts(service.until));
    policy.hash = hash(&policy, policy.setup);
    policy
}

/// When the next rule or service of the host ends.
#[must_use]
pub fn next_end(policy: &PolicyRevision) -> Option<End> {
    let rules = policy.rules.iter().filter_map(|rule| rule.until);
    rules.chain(policy.host_services.iter().filter_map(|service| service.until)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rule::{Addresses, Effect, HostPattern, HostService, Ports};

    fn rule(host: &str, until: Option<&str>) -> NetworkRule {
        NetworkRule {
            id: host.to_owned(),
            effect: Effect::Allow,
            host: HostPattern::Exact(host.to_owned()),
            ports: Ports::one(443),
            protocol: None,
            http: Vec::new(),
            addresses: Addresses::Public,
            during: During::Always,
            set: None,
            until: until.map(|until| until.parse().expect("an end")),
            why: "test".to_owned(),
            origin: Origin { layer: Layer::Repository, file: None, line: None },
        }
    }

    #[test]
    fn what_has_ended_is_not_in_force() {
        let service = HostService {
            name: "model".to_owned(),
            port: 11_434,
            http: Vec::new(),
            until: "2026-06-30".parse().ok(),
            why: "test".to_owned(),
            origin: Origin { layer: Layer::Repository, file: None, line: None },
        };
        let declared = Network {
            preset: Preset::Balanced,
            preset_until: "2026-01-31".parse().ok(),
            rules: vec![rule("a.example", None), rule("b.example", Some("2026-12-31"))],
            host_services: vec![service],
        };
        let whole = compose(1, &declared, None, None, []);
        let then = |now: &str| at(whole.clone(), now.parse().expect("a time"));
        let names = |policy: &PolicyRevision| {
            let rules = policy.rules.iter().filter(|rule| rule.origin.layer == Layer::Repository);
            (rules.count(), policy.host_services.len())
        };
        let preset =
            preset::rules(Preset::Balanced, &Origin { layer: Layer::User, file: None, line: None }).len();
        for (now, expected, next) in [
            ("2026-01-31T23:59:59Z", (preset + 2, 1), Some("2026-01-31")),
            ("2026-02-01T00:00:00Z", (2, 1), Some("2026-06-30")),
            ("2026-07-01T00:00:00Z", (2, 0), Some("2026-12-31")),
            ("2027-01-01T00:00:00Z", (1, 0), None),
        ] {
            let policy = then(now);
            assert_eq!(names(&policy), expected, "{now}");
            assert_eq!(next_end(&policy), next.map(|end| end.parse().expect("an end")), "{now}");
        }
        assert_eq!(then("2026-01-01T00:00:00Z"), whole);
        assert_ne!(then("2027-01-01T00:00:00Z").hash, whole.hash);
        // The user's own choice does not end with the file's.
        let chosen = compose(1, &declared, None, Some(Preset::Balanced), []);
        let chosen = at(chosen, "2027-01-01T00:00:00Z".parse().expect("a time"));
        assert_eq!(chosen.rules.iter().filter(|rule| rule.origin.layer == Layer::User).count(), preset);
    }
}
