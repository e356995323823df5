//! Rules that can never match, because another rule of the same file denies all of it.

use std::collections::{HashMap, HashSet};

use crate::{
    kit::{
        findings::Findings,
        merge::Placed,
        problem::{Code, quoted},
        rule::{Rule, holds},
    },
    model::rule::{During, Effect, HostPattern, HttpMatch, NetworkRule},
};

/// Reports them. A deny of another file is no mistake: that is how a sandbox narrows what its kits allow.
pub(super) fn check(rules: &[Placed<NetworkRule>], findings: &mut Findings) {
    let denies = Denies::of(rules);
    if denies.is_empty() || !holds(Rule::NeverMatches) {
        return;
    }
    let mut told = HashSet::new();
    for rule in rules.iter().filter(|rule| rule.value.effect != Effect::Deny) {
        let Some(deny) = denies.covering(rule) else { continue };
        // A set is many rules of one place.
        if rule.value.set.is_some() && !told.insert((rule.at.place(), rule.value.set.as_deref())) {
            continue;
        }
        let message = format!(
            "this rule can never match: {} ({}) denies all of it",
            quoted(deny.value.set.as_ref().unwrap_or(&deny.value.pattern())),
            deny.at.place()
        );
        let problem = rule.at.problem(Code::Rule, message).label("never");
        findings.push(problem.help("remove one of the two, or let the deny say less"));
    }
}

/// Denies that hold for as long as the sandbox lives, by the names that they speak of, those of every request first. More
/// than a few per name are not looked at.
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
        // What one with an end denies may be meant for afterwards.
        let lasting =
            rules.iter().filter(|rule| rule.value.effect == Effect::Deny && rule.value.until.is_none());
        let (whole, narrow): (Vec<_>, Vec<_>) = lasting.partition(|rule| rule.value.http.is_empty());
        for rule in whole.into_iter().chain(narrow) {
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
    let (source, (deny, rule)) = (deny.at.source.name() == rule.at.source.name(), (&deny.value, &rule.value));
    // To allow a named set and deny one host of it, by name or by another set, is a way of narrowing.
    let written = rule.set.is_none() || rule.set == deny.set;
    let protocol = deny.protocol.is_none() || deny.protocol == rule.protocol;
    let ports = deny.ports.first <= rule.ports.first && rule.ports.last <= deny.ports.last;
    let during = deny.during == During::Always || deny.during == rule.during;
    source && written && protocol && ports && during && requests(&deny.http, &rule.http)
}

/// Whether every request of a rule is among those that are denied. What two denied entries cover only together is not
/// seen.
fn requests(denied: &[HttpMatch], of: &[HttpMatch]) -> bool {
    let everything = [HttpMatch { methods: Vec::new(), paths: Vec::new() }];
    let of = if of.is_empty() { &everything[..] } else { of };
    denied.is_empty() || of.iter().all(|of| denied.iter().any(|denied| takes_all(denied, of)))
}

fn takes_all(denied: &HttpMatch, of: &HttpMatch) -> bool {
    let among = |method: &String| denied.methods.contains(method);
    let methods = denied.methods.is_empty() || (!of.methods.is_empty() && of.methods.iter().all(among));
    let below = |path: &String| denied.paths.iter().any(|denied| lies_below(path, denied));
    let any = denied.paths.is_empty() || denied.paths.iter().any(|path| path == "/**");
    methods && (any || (!of.paths.is_empty() && of.paths.iter().all(below)))
}

/// Whether a pattern of paths speaks of nothing outside of another: it is the same, or lies below its folder. A deny
/// ignores case.
fn lies_below(path: &str, denied: &str) -> bool {
    let (path, denied) = (path.to_ascii_lowercase(), denied.to_ascii_lowercase());
    let folder = denied.strip_suffix("**").filter(|folder| !folder.contains('*'));
    path == denied || folder.is_some_and(|folder| path.starts_with(folder))
}
