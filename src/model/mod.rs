//! What everything speaks of: typed names, units, the desired and the observed state, rules and events.
//! Level 0: data without behaviour beyond parsing and printing itself; imports nothing of ours.

pub mod api;
pub mod config;
pub mod desired;
pub mod end;
pub mod event;
pub mod launch;
pub mod name;
pub mod parked;
pub mod path;
pub mod pattern;
pub mod progress;
pub mod redacted;
pub mod registry;
pub mod remote;
pub mod rule;
pub mod secret;
pub mod session;
pub mod signer;
pub mod status;
pub mod template;
pub mod text;
pub mod unit;
