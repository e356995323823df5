//! Wildcards over names that anybody can have, and secrets that are bound to such names.

use super::suffixes::shared;
use crate::{
    kit::{
        findings::Findings,
        merge::{Part, Placed},
        problem::{Code, quoted},
        rule::{Rule, holds},
    },
    model::rule::{Effect, HostPattern},
};

/// Why a pattern is wider than its author can mean, in an allow.
pub fn too_wide(host: &HostPattern) -> Option<String> {
    let (HostPattern::OneLabel(suffix) | HostPattern::AnyDepth(suffix)) = host else { return None };
    let owner = shared(suffix)?;
    Some(format!("this allows names that {} below {}", owner.words(), quoted(suffix)))
}

/// Reports them.
pub(super) fn check(merged: &Part, findings: &mut Findings) {
    if !holds(Rule::SharedNames) {
        return;
    }
    for Placed { value: rule, at } in merged.rules.iter().filter(|rule| rule.value.effect == Effect::Allow) {
        let Some(message) = too_wide(&rule.host) else { continue };
        let problem = at.problem(Code::Rule, message).label("too wide");
        findings.push(problem.help("name the hosts that are needed, or ask: `ask` instead of `allow`"));
    }
    for Placed { value: secret, at } in &merged.secrets {
        for place in &secret.inject {
            let Some(owner) = shared(&place.host) else { continue };
            let message = format!(
                "the secret {} goes to {}, below which are names that {}",
                quoted(&secret.name),
                quoted(&place.host),
                owner.words()
            );
            let problem = at.problem(Code::Secret, message);
            findings.push(problem.help("bind it to the one host that it is for"));
        }
    }
}
