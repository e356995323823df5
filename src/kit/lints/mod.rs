//! What is in form and cannot be meant: findings that only the whole of a sandbox shows.

use super::{document::Soundness, findings::Findings, merge::Part};

/// Checks the merged contributions of a sandbox.
pub(super) fn check(_merged: &Part, _soundness: Soundness, _findings: &mut Findings) {}
