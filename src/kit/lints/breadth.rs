//! More rules than a person would review, or a plan compare: each path and method is a grant of its own, and each deny
//! is part of every grant that it narrows.

use crate::{
    kit::{findings::Findings, merge::Placed, problem::Code},
    model::rule::{Effect, NetworkRule},
};

/// Most requests that the rules of a sandbox tell apart on either side: methods times paths.
const REQUESTS_MAX: usize = 2_000;
/// Most pairs of one that is allowed and one that is denied.
const PAIRS_MAX: usize = 200_000;

/// Reports the first rule that is too many.
pub(super) fn check(rules: &[Placed<NetworkRule>], findings: &mut Findings) {
    let (mut allowed, mut denied) = (0_usize, 0_usize);
    for rule in rules {
        let count = if rule.value.effect == Effect::Deny { &mut denied } else { &mut allowed };
        *count = count.saturating_add(requests(&rule.value));
        let message = if *count > REQUESTS_MAX {
            format!("the rules of a sandbox tell apart at most {REQUESTS_MAX} requests, methods times paths")
        } else if allowed.saturating_mul(denied) > PAIRS_MAX {
            format!("{allowed} requests that are allowed and {denied} that are denied are too many together")
        } else {
            continue;
        };
        let help = "name hosts and paths by patterns: `**.acme.example`, `/acme/**`";
        findings.push(rule.at.problem(Code::TooLarge, message).label("from here on").help(help));
        return;
    }
}

fn requests(rule: &NetworkRule) -> usize {
    let of = |methods: usize, paths: usize| methods.max(1).saturating_mul(paths.max(1));
    rule.http
        .iter()
        .map(|http| of(http.methods.len(), http.paths.len()))
        .fold(0, usize::saturating_add)
        .max(1)
}
