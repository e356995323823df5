//! Rules of the command line.

use serde::Serialize;

use super::Found;
use crate::{
    cli::failure::Failure,
    model::{api::PolicyRevision, desired::Preset, rule::NetworkRule},
};

/// The policy, and rules of the command line.
pub trait Rules {
    /// The whole policy as it is in force for `sandbox`, or for any sandbox without rules of its own; `preset` instead
    /// of the one that is set.
    ///
    /// # Errors
    /// When a layer cannot be read.
    fn policy(&self, sandbox: Option<&Found>, preset: Option<Preset>) -> Result<PolicyRevision, Failure>;

    /// Changes rules, and puts them into force in running sandboxes before it returns.
    ///
    /// # Errors
    /// When there is no such rule, or the state cannot be written.
    fn edit_rules(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure>;
}

/// Which sandboxes a rule of the command line is for.
#[derive(Debug, Clone)]
pub enum RuleScope {
    /// This user's, everywhere.
    User,
    /// The repository that the command runs in.
    Here,
    /// One sandbox.
    Sandbox(Box<Found>),
}

/// A change to the rules of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleEdit {
    /// Adds the rules, and removes this scope's own opposite rules of exactly the same patterns.
    Add(Vec<NetworkRule>),
    /// Removes rules of exactly these patterns.
    RemovePatterns(Vec<String>),
    /// Removes the rule with this id.
    RemoveId(String),
    /// Removes every rule; with a preset, chooses it.
    Reset(Option<Preset>),
}

/// What came of a [`RuleEdit`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct RuleChange {
    /// Rules that are new.
    pub added: Vec<NetworkRule>,
    /// Rules that are gone.
    pub removed: Vec<NetworkRule>,
    /// For whom, in words: `every sandbox of this user`, `sandboxes of this repository`, `sandbox dev`.
    pub scope: String,
    /// Running sandboxes in which it is in force.
    pub live: Vec<String>,
    /// Open connections that it closed.
    pub closed: u32,
    /// A rule of another layer that still denies what was to be allowed; then nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<NetworkRule>,
}
