//! The merge table of the format: agent → mixins in order → sandbox → `sandbox.local.yaml` → the user's own mixin; and
//! within a kit: what it extends → itself.
//!
//! | Field | Rule |
//! |---|---|
//! | scalars | last wins; two mixins that differ and nothing after them that decides: an error naming both lines |
//! | maps, and lists of things with a name (secrets, host services) | by key, last wins; one key of two mixins: an error |
//! | lists | one after the other, identical entries folded; one file twice or beneath another, one port twice: an error |
//! | deny | is among the rules, and no later rule removes one |
//! | isolation | the strictest |
//!
//! Pure: takes contributions, yields one; says what clashes.

mod files;
mod lists;
mod locked;
mod part;
mod scalars;
#[cfg(test)]
mod tests;

pub(super) use files::separate;
pub(super) use locked::set_paths;
pub(super) use part::{At, Part, Placed, Prompt, Rank};

use super::findings::Findings;

/// Why contributions come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// Kits, documents and files of one sandbox.
    Stack,
    /// A kit and the one that it extends.
    Extend,
}

/// Puts contributions together, the first lowest. What clashes stands in `findings`.
pub(super) fn merge(parts: &[&Part], join: Join, findings: &mut Findings) -> Part {
    locked::check(parts, findings);
    let mut merged = scalars::merge(parts, join, findings);
    lists::merge(&mut merged, parts, join, findings);
    if let Some(last) = parts.last() {
        merged.rank = last.rank;
        merged.broken = parts.iter().any(|part| part.broken);
        merged.shown.clone_from(&last.shown);
    }
    merged
}
