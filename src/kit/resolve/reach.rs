//! Which hosts a sandbox's rules let TLS reach. Made once, so that many secrets are held against many rules in about
//! the time that it takes to read both.

use std::collections::HashMap;

use crate::{
    kit::merge::Placed,
    model::rule::{Effect, HostPattern, NetworkRule, Ports, Protocol},
};

/// Ports by the name of the pattern that they stand with.
#[derive(Default)]
pub(super) struct Reach<'a> {
    exact: HashMap<&'a str, Vec<Ports>>,
    one_label: HashMap<&'a str, Vec<Ports>>,
    any_depth: HashMap<&'a str, Vec<Ports>>,
    any: Vec<Ports>,
}

impl<'a> Reach<'a> {
    /// What the rules allow or ask for.
    pub(super) fn of(rules: &'a [Placed<NetworkRule>]) -> Self {
        let mut reach = Self::default();
        for rule in rules.iter().map(|rule| &rule.value) {
            if rule.effect == Effect::Deny || rule.protocol != Some(Protocol::Https) {
                continue;
            }
            let ports = match &rule.host {
                HostPattern::Exact(name) => reach.exact.entry(name).or_default(),
                HostPattern::OneLabel(suffix) => reach.one_label.entry(suffix).or_default(),
                HostPattern::AnyDepth(suffix) => reach.any_depth.entry(suffix).or_default(),
                HostPattern::Any => &mut reach.any,
                HostPattern::Net(_) => continue,
            };
            ports.push(rule.ports);
        }
        let maps = [&mut reach.exact, &mut reach.one_label, &mut reach.any_depth];
        let lists = maps.into_iter().flat_map(HashMap::values_mut);
        lists.chain([&mut reach.any]).for_each(join);
        reach
    }

    /// Whether a rule speaks of a port of a host.
    pub(super) fn allows(&self, host: &str, port: u16) -> bool {
        let parents = || std::iter::successors(parent(host), |name| parent(name));
        has(self.exact.get(host), port)
            || has(parent(host).and_then(|parent| self.one_label.get(parent)), port)
            || parents().any(|parent| has(self.any_depth.get(parent), port))
            || has(Some(&self.any), port)
    }
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

/// Puts ranges in order, and those that overlap together.
fn join(ports: &mut Vec<Ports>) {
    ports.sort_by_key(|range| range.first);
    ports.dedup_by(|next, range| {
        let overlaps = next.first <= range.last;
        range.last = if overlaps { range.last.max(next.last) } else { range.last };
        overlaps
    });
}

fn has(ports: Option<&Vec<Ports>>, port: u16) -> bool {
    let Some(ports) = ports else { return false };
    let after = ports.partition_point(|range| range.first <= port);
    after.checked_sub(1).is_some_and(|last| ports[last].contains(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_are_one() {
        let range = |first, last| Ports { first, last };
        let mut ports = vec![range(80, 90), range(443, 443), range(1, 20), range(85, 100), range(10, 15)];
        join(&mut ports);
        assert_eq!(ports, [range(1, 20), range(80, 100), range(443, 443)]);
        for (port, expected) in [(1, true), (20, true), (21, false), (95, true), (443, true), (444, false)] {
            assert_eq!(has(Some(&ports), port), expected, "{port}");
        }
    }
}
