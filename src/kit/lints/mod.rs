//! What is in form and cannot be meant: findings that only the whole of a sandbox shows.
//!
//! `breadth`: too many rules; `hosts`: names that anybody can have; `rules`: rules that can never match. What a single
//! rule shows by itself is `resolve::network`'s; that a secret can reach its host, `resolve::secret`'s.

mod breadth;
mod hosts;
mod rules;
mod suffixes;
#[cfg(test)]
mod tests;

pub use hosts::too_wide;

use super::{findings::Findings, merge::Part};

/// Checks the merged contributions of a sandbox.
pub(super) fn check(merged: &Part, findings: &mut Findings) {
    breadth::check(&merged.rules, findings);
    hosts::check(merged, findings);
    rules::check(&merged.rules, findings);
}
