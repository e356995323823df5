//! Cofferdam keeps microVM sandboxes for AI coding agents converged to the `sandbox.yaml` files that a team commits.
//! This page is the map: what there is, which way it hangs together, and what is deliberately absent.
//!
//! # Processes
//!
//! One executable; [`main`] is either a command ([`cli`]) or, as `cofferdam __zone ROLE`, one of a sandbox's
//! processes ([`zones`]). Each of those enters a jail ([`sys::jail`]) before its first thread.
//!
//! ```text
//! command ──HTTP over a unix socket──▶ keeper ◀─ frames ─▶ egress ──▶ the world
//!                                        │  ▲                 ▲
//!                     launcher ◀─ asks ──┘  │ control, exec   │ streams (one socket each, by descriptor passing)
//!                        │ starts all       └────── vsock ────┘
//!                        └─▶ egress, vsock, fs × mounts, vmm, broker      │ virtio
//!                                                                       guest
//! ```
//!
//! # What must stay true
//!
//! * The guest has no network device. A stream names its destination; egress decides ([`policy`]), and the code that
//!   forwards takes a `Permit` by value that only the decision can make.
//! * No name is resolved upstream before it is allowed.
//! * A secret's value exists in its broker and in egress. The keeper holds it as a sealed memory file that it never
//!   maps; the guest holds a placeholder.
//! * Read-only is enforced by the file server, never by the guest's mount.
//! * An event that uses a secret is written outside egress before the first byte leaves.
//! * A zone that ends takes its sandbox down: what it enforced is no longer enforced.
//! * A template's build step runs in a sandbox of its own, without a secret; the disk that it leaves is for guests' kernels
//!   only. A system disk stays on the template that it was begun on.
//!
//! # What is absent
//!
//! * No central daemon: each sandbox has its own launcher and keeper, and they survive the terminal.
//! * The planner ([`plan`]) and the policy read no clock, no file, no random number.
//! * No zone opens a socket, but egress, which opens TCP and UDP only, and the keeper, which listens on the loopback for
//!   the ports that a sandbox publishes.
//! * Nothing is fetched because a repository's file says so: a kit elsewhere is read from the cache, as `sandbox.lock` pins
//!   it ([`remote`]); `update` fetches, and whoever types the source.
//! * No shell, anywhere, and no environment for a process unless it is spelled out.
//! * `unsafe` lies on islands: [`sys`], `vmm`, and the guest's `sys`.
//!
//! # Levels
//!
//! Imports point down; `tests/it/imports.rs` holds the table. L0 [`model`], [`wire`], [`sys`]; L1 [`kit`],
//! [`policy`], [`plan`], [`lifecycle`], [`store`], [`audit::chain`]; L2 adapters [`audit`], [`devices`], [`egress`],
//! [`engine`], [`registry`], [`remote`], [`review`], [`secret`], [`template`], [`vmm`]; L3 [`reconcile`]; L4 [`zones`]; L5
//! [`cli`]. The guest (`src/guest`) is a crate of its own that shares [`wire`].

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
pub mod registry;
pub mod remote;
pub mod review;
pub mod secret;
pub mod store;
pub mod sys;
pub mod template;
pub mod vmm;
pub mod wire;
pub mod zones;

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Before anything starts a thread: a zone enters its jail with one.
    if let (Some("__zone"), Some(role)) = (arguments.next().as_deref(), arguments.next()) {
        return zones::main(&role);
    }
    cli::main_with(|state| {
        let host = if state { cli::host::Host::open() } else { cli::host::Host::open_files() };
        host.map(|host| Box::new(host) as Box<dyn cli::ops::Operations>)
    })
}
