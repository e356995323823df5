//! What rules deny of what others allow. The denies of a sandbox are put in order once, however many grants they narrow:
//! each would otherwise compare all of them with all.

use std::collections::HashMap;

use super::{
    Net,
    reach::{Methods, Reach},
    text,
};
use crate::model::rule::{Addresses, During};

/// Denies, method by method, none within another.
#[derive(Debug, Clone)]
pub(super) struct Denies(Vec<Reach>);

impl Denies {
    /// Of denies in any form.
    pub(super) fn new(denies: &[Reach]) -> Self {
        let mut parts = parts(denies);
        parts.sort_by_cached_key(|part| text::Except(part).to_string());
        parts.dedup();
        // Of two that deny the same the first stays.
        let wider = |at: usize, part: &Reach, other: usize, deny: &Reach| {
            other != at && deny.denies_all_of(part) && (other < at || !part.denies_all_of(deny))
        };
        let within = |at: usize, part: &Reach| {
            parts.iter().enumerate().any(|(other, deny)| wider(at, part, other, deny))
        };
        let widest = parts.iter().enumerate().filter(|(at, part)| !within(*at, part));
        Self(widest.map(|(_, part)| part.clone()).collect())
    }

    /// Of exceptions, none of which is within another.
    pub(super) fn of_exceptions(exceptions: &[Reach]) -> Self {
        Self(parts(exceptions))
    }

    /// All of them as exceptions.
    pub(super) fn exceptions(&self) -> Vec<Reach> {
        fold(self.0.iter())
    }
}

impl Net {
    /// In its one form; none where nothing is left of it.
    pub(super) fn new(reach: Reach, addresses: Addresses, during: During, denies: &Denies) -> Option<Self> {
        let mut denies: Vec<&Reach> = denies.0.iter().filter(|deny| deny.denies_some_of(&reach)).collect();
        if denies.is_empty() {
            return Some(Self { reach, addresses, during, until: None, except: Vec::new() });
        }
        let mut left = reach.each_method();
        left.retain(|part| !denies.iter().any(|deny| deny.denies_all_of(part)));
        let methods = left.into_iter().map(|part| part.methods).reduce(Methods::and)?;
        let reach = Reach { methods, ..reach };
        denies.retain(|deny| deny.denies_some_of(&reach));
        Some(Self { reach, addresses, during, until: None, except: fold(denies.into_iter()) })
    }
}

/// Denies, method by method. They ignore the case of paths.
fn parts(denies: &[Reach]) -> Vec<Reach> {
    let mut parts: Vec<Reach> = denies.iter().flat_map(Reach::each_method).collect();
    for part in &mut parts {
        part.path = part.path.take().and_then(|path| path.lower());
    }
    parts
}

/// Those that differ in methods only together again, sorted by text.
fn fold<'a>(parts: impl Iterator<Item = &'a Reach>) -> Vec<Reach> {
    let mut places = HashMap::new();
    let mut folded: Vec<Reach> = Vec::new();
    for part in parts {
        let place = *places.entry((&part.scope, part.protocol, &part.path)).or_insert(folded.len());
        match folded.get_mut(place) {
            Some(own) => {
                let before = std::mem::replace(&mut own.methods, Methods::All);
                own.methods = before.and(part.methods.clone());
            }
            None => folded.push(part.clone()),
        }
    }
    folded.sort_by_cached_key(|part| text::Except(part).to_string());
    folded
}
