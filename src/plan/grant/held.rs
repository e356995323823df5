//! Grants that somebody has, some of them only for a time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Grant, GrantSet, Net};
use crate::model::end::End;

/// Grants with their ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// Without an end.
    #[serde(default)]
    pub always: GrantSet,
    /// Until their end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ending: BTreeMap<End, GrantSet>,
}

/// Grants of one source, with their end.
pub type Source<'a> = (Option<End>, &'a GrantSet);

impl Held {
    /// All of it, by end.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        let ending = self.ending.iter().map(|(end, set)| (Some(*end), set));
        [(None, &self.always)].into_iter().chain(ending)
    }

    /// Both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let all = self.sources().chain(other.sources());
        all.flat_map(|(end, set)| set.grants().iter().map(move |grant| (grant.clone(), end))).collect()
    }

    /// What of it counts at `now`.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.ending.retain(|end, _| !end.is_over(now));
        self
    }

    /// The grants, each with its end as part of it, as a rule has it. What has ended by `at` is none of them, nor what
    /// ends and has no text that says so: a folder for a week is no folder for ever.
    #[must_use]
    pub fn with_ends(&self, at: Timestamp) -> GrantSet {
        let counting = self.sources().filter(|(end, _)| end.is_none_or(|end| !end.is_over(at)));
        let bounded = |(end, set): Source<'_>| -> Vec<Grant> {
            set.grants().iter().filter_map(|grant| grant.until(end)).collect()
        };
        counting.flat_map(bounded).collect()
    }

    /// The grants, whenever they end.
    #[must_use]
    pub fn whole(&self) -> GrantSet {
        self.sources().flat_map(|(_, set)| set.grants()).cloned().collect()
    }
}

impl Grant {
    /// The same until `end`, if that can be said of it.
    fn until(&self, end: Option<End>) -> Option<Self> {
        let bounded = |net: &Net| Net { until: End::earlier(net.until, end), ..net.clone() };
        match self {
            _ if end.is_none() => Some(self.clone()),
            Self::Net(net) => Some(Self::Net(bounded(net))),
            Self::Ask(net) => Some(Self::Ask(bounded(net))),
            _ => None,
        }
    }
}

impl FromIterator<(Grant, Option<End>)> for Held {
    fn from_iter<I: IntoIterator<Item = (Grant, Option<End>)>>(grants: I) -> Self {
        let mut by_end: BTreeMap<Option<End>, Vec<Grant>> = BTreeMap::new();
        for (grant, end) in grants {
            by_end.entry(end).or_default().push(grant);
        }
        let always = by_end.remove(&None).unwrap_or_default().into_iter().collect();
        let ending =
            by_end.into_iter().filter_map(|(end, grants)| Some((end?, grants.into_iter().collect())));
        Self { always, ending: ending.collect() }
    }
}

impl FromIterator<Grant> for Held {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self { always: grants.into_iter().collect(), ending: BTreeMap::new() }
    }
}

impl From<GrantSet> for Held {
    fn from(always: GrantSet) -> Self {
        Self { always, ending: BTreeMap::new() }
    }
}
