//! What commands ask of the rest of the program: one narrow trait per topic, so that every command can be tried against
//! a scripted one, and a world of a test says only what is its own. `reconcile` stands behind what changes a machine;
//! commands only parse, ask and show.

mod account;
mod approvals;
mod documents;
mod machine;
mod proposal;
mod rules;
mod template;

pub use self::{
    account::{Account, SecretListing},
    approvals::{Answer, Approvals, Inbox, TrustedTip},
    documents::{
        Checked, CheckedKit, Comparison, Documents, Kits, LockUpdate, Source, UpdateWish, WrittenKit,
    },
    machine::{Found, Machines, PortEdit},
    proposal::{Action, Asked, Change, Plans, Proposal, Wish},
    rules::{RuleChange, RuleEdit, RuleScope, Rules},
    template::{BuiltTemplate, KeptTemplate, Templates},
};

/// Hears what a long operation does.
pub trait Progress {
    /// A step with its title begins, or goes on; `permille` is an estimate that never falls.
    fn step(&self, title: &str, permille: Option<u16>, now: &str);
}

/// The rest of the program, by topic.
pub trait Operations {
    /// What files say.
    fn documents(&self) -> &dyn Documents;
    /// Kits.
    fn kits(&self) -> &dyn Kits;
    /// What files ask for, carried out.
    fn plans(&self) -> &dyn Plans;
    /// The inbox.
    fn approvals(&self) -> &dyn Approvals;
    /// Sandboxes that are there.
    fn machines(&self) -> &dyn Machines;
    /// The policy.
    fn rules(&self) -> &dyn Rules;
    /// Kernels and templates.
    fn templates(&self) -> &dyn Templates;
    /// What this user has.
    fn account(&self) -> &dyn Account;
}
