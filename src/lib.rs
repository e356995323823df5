//! Cofferdam (placeholder docs)
pub mod audit;
pub mod cli;
pub mod devices;
pub mod egress;
pub mod engine;
pub mod kit;
pub mod lifecycle;
pub mod model;
pub mod plan;
pub mod policy;
pub mod reconcile;
pub mod review;
pub mod secret;
pub mod store;
pub mod sys;
pub mod template;
pub mod vmm;
pub mod wire;
pub mod zones;

#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
