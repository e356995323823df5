//! Sets of grants in one form, however they were written: each method judged by itself, nothing in it that another
//! covers, sorted by text.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Grant, Net, except::Denies, reach::Methods};

/// Grants that somebody has, or wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrantSet(Vec<Grant>);

impl GrantSet {
    /// The grants, sorted by their text.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everything of `wanted` is in it.
    #[must_use]
    pub fn covers(&self, wanted: &Grant) -> bool {
        // Most often one grant does, and then nothing is taken apart.
        self.0.iter().any(|own| own.covers(wanted))
            || (wanted.has_parts()
                && wanted.parts().iter().all(|part| self.0.iter().any(|own| own.covers(part))))
    }

    /// Whether everything of each is in it.
    #[must_use]
    pub fn covers_all(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|wanted| self.covers(wanted))
    }

    /// What of `wanted` is not in it.
    #[must_use]
    pub fn missing(&self, wanted: &Self) -> Self {
        let open = wanted.0.iter().filter(|wanted| !self.covers(wanted)).flat_map(Grant::parts);
        open.filter(|part| !self.0.iter().any(|own| own.covers(part))).collect()
    }

    /// Both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).cloned().collect()
    }
}

impl FromIterator<Grant> for GrantSet {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut parts: Vec<(String, Grant)> = Vec::new();
        for grant in grants {
            parts.extend(grant.parts().into_iter().map(|part| (part.to_string(), part)));
        }
        parts.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        parts.dedup_by(|left, right| left.0 == right.0);
        let widest = |(at, (_, part)): (usize, &(String, Grant))| {
            let other = parts.iter().enumerate().any(|(other, (_, grant))| other != at && grant.covers(part));
            (!other).then(|| part.clone())
        };
        let mut folded = fold(parts.iter().enumerate().filter_map(widest));
        folded.sort_by_cached_key(Grant::to_string);
        Self(folded)
    }
}

/// Parts that differ in methods only, together again.
fn fold(parts: impl Iterator<Item = Grant>) -> Vec<Grant> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut folded: Vec<Grant> = Vec::new();
    for mut part in parts {
        let Some(methods) = part.methods_mut() else {
            folded.push(part);
            continue;
        };
        let methods = std::mem::replace(methods, Methods::All);
        // No two grants have one text.
        let place = *places.entry(part.to_string()).or_insert(folded.len());
        if let Some(own) = folded.get_mut(place).and_then(Grant::methods_mut) {
            let before = std::mem::replace(own, Methods::All);
            *own = before.and(methods);
            continue;
        }
        if let Some(own) = part.methods_mut() {
            *own = methods;
        }
        folded.push(part);
    }
    folded
}

impl Grant {
    fn methods(&self) -> Option<&Methods> {
        match self {
            Self::Net(net) | Self::Ask(net) => Some(&net.reach.methods),
            Self::HostService { methods, .. } => Some(methods),
            _ => None,
        }
    }

    fn methods_mut(&mut self) -> Option<&mut Methods> {
        match self {
            Self::Net(net) | Self::Ask(net) => Some(&mut net.reach.methods),
            Self::HostService { methods, .. } => Some(methods),
            _ => None,
        }
    }

    /// How much it is to compare: one for each method, and one for each method of each exception.
    #[must_use]
    pub fn weight(&self) -> usize {
        let count = |methods: &Methods| match methods {
            Methods::All => 1,
            Methods::Only(methods) => methods.len(),
        };
        let except: &[_] = match self {
            Self::Net(net) | Self::Ask(net) => &net.except,
            Self::Preset { except, .. } => except,
            _ => &[],
        };
        let except: usize = except.iter().map(|reach| count(&reach.methods)).sum();
        self.methods().map_or(1, count).saturating_mul(1 + except)
    }

    fn has_parts(&self) -> bool {
        matches!(self.methods(), Some(Methods::Only(_)))
    }

    /// One for each method.
    pub(super) fn parts(&self) -> Vec<Self> {
        let nets = |net: &Net, make: fn(Net) -> Self| {
            let reaches = net.reach.each_method();
            if reaches.len() == 1 {
                return vec![self.clone()];
            }
            let denies = Denies::of_exceptions(&net.except);
            let part = |reach| {
                let part = Net::new(reach, net.addresses, net.during, &denies)?;
                Some(Net { until: net.until, ..part })
            };
            reaches.into_iter().filter_map(part).map(make).collect()
        };
        match self {
            Self::Net(net) => nets(net, Self::Net),
            Self::Ask(net) => nets(net, Self::Ask),
            Self::HostService { name, port, methods, path } => {
                let with = |methods| Self::HostService {
                    name: name.clone(),
                    port: *port,
                    methods,
                    path: path.clone(),
                };
                methods.each().into_iter().map(with).collect()
            }
            other => vec![other.clone()],
        }
    }
}

impl Serialize for GrantSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de> Deserialize<'de> for GrantSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Grant>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl fmt::Display for GrantSet {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|grant| writeln!(to, "{grant}"))
    }
}
