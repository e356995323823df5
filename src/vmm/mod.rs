//! What we do with `/dev/kvm` ourselves. An island of `unsafe`.
//!
//! So far: [`probe`], which finds out whether this host's KVM can run a kernel at all. Our own machine monitor
//! will live beside it.

pub mod probe;

pub use self::probe::{KvmState, ProbeResult, kvm_state, probe_within, run_probe};
