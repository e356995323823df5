//! Makes what is into what shall be: executes a plan over a [`World`] that it owns as a trait, in one pass that ends
//! with one [`Verdict`].
//!
//! ```text
//!            removal                    |            addition
//!  remove, orphan                       |
//!  live update   record ─ enforce ─ ✓   |
//!  restart       record ─ stop ─────────┼───────────────────────▶ start ─ ✓
//!  replace       record ─ stop ─────────┼──▶ renew system disk ─▶ start ─ ✓
//!  create                               |    create ─ disks ────▶ start ─ ✓
//! ```
//!
//! Guarantees, each with a property test in [`pass`]:
//!
//! * Every removal is tried before the first addition, and what would take a resource that a failed removal still
//!   holds is not begun.
//! * One sandbox's failure neither stops nor harms the others.
//! * Killed anywhere, the next pass ends in the desired state. What is still to be done ([`Unfinished`]) is written
//!   together with the new definition, before the first effect, and taken back after the last.
//! * No pass destroys work: a data disk goes only with [`Action::Remove`], which a person asked for by name.
//!
//! What is absent: no clock and no sleep. The verdict says how long to wait; the caller waits.
//!
//! [`Unfinished`]: crate::model::progress::Unfinished
//! [`Action::Remove`]: crate::plan::Action::Remove

mod claim;
mod pass;
#[cfg(test)]
mod simulated;
mod verdict;
mod world;

pub use self::{
    claim::Claim,
    pass::{Fate, Outcome, Report, execute},
    verdict::{Verdict, backoff},
    world::{Outlook, World},
};
