//! The rules of a document that are not in force in the sandbox that was made of it, and why.

use jiff::Timestamp;

use super::{Grant, GrantSet, derive};
use crate::model::{
    desired::Sandbox,
    parked::{Idle, ParkedRule},
    rule::NetworkRule,
};

/// What `wanted`, the document as it was applied, grants on the network and `running`, what is made of it, does not.
/// `rejected` are texts of grants that a person refused. A rule whose own end has passed at `now` asks for nothing, and
/// has ended; when what is approved ends says nothing here.
#[must_use]
pub fn parked<'a>(
    wanted: &Sandbox,
    running: &Sandbox,
    rejected: impl IntoIterator<Item = &'a str>,
    now: Timestamp,
) -> Vec<ParkedRule> {
    if wanted.network.rules == running.network.rules {
        return Vec::new();
    }
    let granted: Vec<Grant> = rules(running).flat_map(|(_, grants)| grants).collect();
    let refused = rejected.into_iter().filter_map(|text| text.parse().ok()).map(lasting);
    let answered: GrantSet = granted.iter().cloned().chain(refused).collect();
    let granted: GrantSet = granted.into_iter().collect();
    let idle = |(rule, grants): (&NetworkRule, Vec<Grant>)| {
        let within = |set: &GrantSet| grants.iter().flat_map(Grant::parts).all(|part| set.covers(&part));
        let over = rule.until.filter(|end| end.is_over(now));
        let idle = match (within(&granted), over) {
            (true, _) => return None,
            (false, Some(end)) => Idle::Ended(end),
            (false, None) if within(&answered) => Idle::Rejected,
            (false, None) => Idle::Waits,
        };
        ParkedRule::of(rule, idle)
    };
    rules(wanted).filter_map(idle).collect()
}

/// The rules that grant something, each with its grants as if they did not end.
fn rules(sandbox: &Sandbox) -> impl Iterator<Item = (&NetworkRule, Vec<Grant>)> {
    let denies = derive::denies(sandbox);
    sandbox.network.rules.iter().filter_map(move |rule| {
        let mut grants = Vec::new();
        derive::of_rule(rule, &denies, |grant| grants.push(lasting(grant)));
        (!grants.is_empty()).then_some((rule, grants))
    })
}

fn lasting(grant: Grant) -> Grant {
    match grant {
        Grant::Net(net) => Grant::Net(super::Net { until: None, ..net }),
        Grant::Ask(net) => Grant::Ask(super::Net { until: None, ..net }),
        other => other,
    }
}
