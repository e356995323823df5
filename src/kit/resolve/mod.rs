//! From what is written to what shall be: the semantic checks, each with its place, and the model they yield.
//!
//! Nothing here reads a clock, an environment variable or the content of a file; that folders exist is looked up
//! (`folders`). One file per part of a sandbox, in the order of `sandbox`.

mod agent;
mod env;
mod folders;
mod guest;
mod here;
mod machine;
mod network;
mod org;
mod part;
mod reach;
mod rule;
mod sandbox;
mod secret;
mod setup;
mod task;
mod text;

use std::collections::BTreeMap;

pub(super) use agent::PLANNED;
pub(super) use guest::is_of_the_guest;
pub(super) use here::{Budget, Here, LOAD_MAX};
pub(super) use network::resolve_target;
pub(super) use org::check_policy;
pub(super) use part::{agent_part, mixin_part, sandbox_part};
pub(super) use rule::is_private;
pub(super) use sandbox::{Whole, finish};
pub(super) use secret::{ServiceKit, check_parts, service};
pub(super) use setup::{TIMEOUT_S, name_of};
pub(super) use text::WORKSPACE;

/// Services that documents may name: of these files, of kits, and built in.
pub(super) type Services = BTreeMap<String, ServiceKit>;
