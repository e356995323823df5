//! Rules that can never match, because another rule of the same file denies all of it.

use std::collections::HashMap;

use crate::{
    kit::{
        findings::Findings,
        merge::Placed,
        problem::{Code, quoted},
        rule::{Rule, holds},
    },
    model::rule::{Effect, HostPattern, NetworkRule},
};

/// Reports them. A deny of another file is no mistake: that is how a sandbox narrows what its kits allow.
pub(super) fn check(rules: &[Placed<NetworkRule>], findings: &mut Findings) {
    let denies = Denies::of(rules);
    if denies.is_empty() || !holds(Rule::NeverMatches) {
        return;
    }
    // To allow a named set and deny one host of it is a way of narrowing.
    let written = |rule: &&Placed<NetworkRule>| rule.value.effect != Effect::Deny && rule.value.set.is_none();
    for rule in rules.iter().filter(written) {
        let Some(deny) = denies.covering(rule) else { continue };
        let message = format!(
            "this rule can never match: {} ({}) denies all of it",
            quoted(&deny.value.pattern()),
            deny.at.place()
        );
        let problem = rule.at.problem(Code::Rule, message).label("never");
        findings.push(problem.help("remove one of the two, or narrow the deny with `http:`"));
    }
}

/// Denies that narrow to no request, by the names that they speak of. More than a few per name are not looked at.
#[derive(Default)]
struct Denies<'a> {
    exact: HashMap<&'a str, Vec<&'a Placed<NetworkRule>>>,
    one_label: HashMap<&'a str, Vec<&'a Placed<NetworkRule>>>,
    any_depth: HashMap<&'a str, Vec<&'a Placed<NetworkRule>>>,
    others: Vec<&'a Placed<NetworkRule>>,
}

/// Most denies of one name that a rule is held against.
const SAME_MAX: usize = 16;

impl<'a> Denies<'a> {
    fn of(rules: &'a [Placed<NetworkRule>]) -> Self {
        let mut denies = Self::default();
        let whole =
            |rule: &&Placed<NetworkRule>| rule.value.effect == Effect::Deny && rule.value.http.is_empty();
        for rule in rules.iter().filter(whole) {
            let same = match &rule.value.host {
                HostPattern::Exact(name) => denies.exact.entry(name).or_default(),
                HostPattern::OneLabel(suffix) => denies.one_label.entry(suffix).or_default(),
                HostPattern::AnyDepth(suffix) => denies.any_depth.entry(suffix).or_default(),
                HostPattern::Any | HostPattern::Net(_) => &mut denies.others,
            };
            if same.len() < SAME_MAX {
                same.push(rule);
            }
        }
        denies
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.one_label.is_empty()
            && self.any_depth.is_empty()
            && self.others.is_empty()
    }

    fn covering(&self, rule: &Placed<NetworkRule>) -> Option<&'a Placed<NetworkRule>> {
        let under = |name: &str| {
            let parents =
                std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, rest)| rest));
            parents.filter_map(|name| self.any_depth.get(name)).flatten().copied().collect::<Vec<_>>()
        };
        let mut near: Vec<_> = match &rule.value.host {
            HostPattern::Exact(name) => {
                let parent = name.split_once('.').map_or("", |(_, rest)| rest);
                let exact = self.exact.get(name.as_str()).into_iter();
                exact.chain(self.one_label.get(parent)).flatten().copied().chain(under(name)).collect()
            }
            HostPattern::OneLabel(suffix) => {
                let same = self.one_label.get(suffix.as_str()).into_iter().flatten().copied();
                same.chain(under(suffix)).collect()
            }
            HostPattern::AnyDepth(suffix) => under(suffix),
            HostPattern::Any | HostPattern::Net(_) => Vec::new(),
        };
        near.extend(self.others.iter().filter(|deny| match (&deny.value.host, &rule.value.host) {
            (HostPattern::Net(deny), HostPattern::Net(net)) => deny.contains(net),
            (HostPattern::Any, host) => !matches!(host, HostPattern::Net(_)),
            _ => false,
        }));
        near.into_iter().find(|deny| covers(deny, rule))
    }
}

fn covers(deny: &Placed<NetworkRule>, rule: &Placed<NetworkRule>) -> bool {
    let (denied, ports) = (deny.value.ports, rule.value.ports);
    let protocol = deny.value.protocol.is_none() || deny.value.protocol == rule.value.protocol;
    deny.at.source.name() == rule.at.source.name()
        && protocol
        && denied.first <= ports.first
        && ports.last <= denied.last
}
