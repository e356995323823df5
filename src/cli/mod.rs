//! The command line.
pub mod client;
pub mod failure;
pub mod output;
pub mod prompt;
pub mod session;
