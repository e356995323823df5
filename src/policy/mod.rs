//! The policy engine: one `decide` for every request that leaves a sandbox, one judgement for every mount.
//!
//! ```text
//! NetworkRule* ──Compiled::new──▶ Compiled ──decide(Request)──▶ Decision ─▶ Permit (taken by value by what forwards)
//!                                     └──────explain(Request)──▶ Explanation (every rule that was looked at)
//! ```
//!
//! Pure: no clock, no file, no name is resolved here. Any matching deny in any layer wins, else a matching allow,
//! else an ask, else deny; neither the order nor the specificity of rules changes a verdict, only which rule is
//! named for it. State: none; the holder of a [`Compiled`] swaps it whole.
//!
//! Read [`decide`](mod@decide) first, then [`compile`]; [`address`] and [`authority`] say what a host is at all.

pub mod address;
pub mod authority;
pub mod compile;
pub mod decide;
mod entry;
pub mod explain;
pub mod floor;
pub mod fs;
pub mod glob;
pub mod layers;
mod parked;
pub use crate::model::path;
pub mod preset;
#[cfg(test)]
mod tests;

pub use self::{
    compile::Compiled,
    decide::{Decision, Http, Near, Permit, Reason, Request, Verdict, decide},
};
