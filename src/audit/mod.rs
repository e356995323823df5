//! The audit trail: one event per decision, in a hash chain, in files that a collector can follow.
//!
//! It exists so that what an agent did, and what it was refused, can be proved afterwards, in order and without
//! gaps. Read in this order:
//!
//! * [`chain`]: one event's bytes and how it is linked to the one before; pure.
//! * `folder`: the files of a trail: `00000001.jsonl` (sealed), `00000002.jsonl.tmp` (being written),
//!   `*.torn` (half a line that a crash left), `aside-*` (a broken chain, kept).
//! * [`trail`]: the one writer of a folder. It owns the folder's lock and the head of the chain.
//! * `repair`: what the writer does with what a crash left, before its first event.
//! * [`verify`], [`query`], [`tail`]: readers; they take no lock and change nothing.
//! * [`view`]: events for a terminal.
//!
//! ```text
//!            append                 1,000 events, 50 MiB, 5 minutes, close
//! (nothing) ───────▶ N.jsonl.tmp ─────────────────────────────────────────▶ N.jsonl
//!                        │ crash                                              ▲
//!                        └──▶ next open: torn tail to N.torn, then seal ──────┘
//! ```
//!
//! What is absent: no clock (callers pass the time), no thread, no knowledge of what an action means. Whoever owns
//! the files can rewrite the whole chain: it proves order and gaps against that person only once a head has left
//! the host ([`verify::directory`] takes one).

pub mod chain;
mod error;
#[cfg(test)]
mod fixture;
mod folder;
mod lines;
pub mod query;
mod repair;
mod segment;
pub mod tail;
pub mod trail;
pub mod verify;
pub mod view;

pub use self::{
    chain::{Context, Flaw, Head},
    error::TrailError,
    folder::{Bad, ReadError},
    repair::Repair,
    tail::{Follow, Tail},
    trail::{Limits, Trail},
    verify::Report,
};
