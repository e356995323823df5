//! HTTP/1.1 between guest and world: each request is read strictly, judged, and forwarded or answered.
//!
//! ```text
//! bytes ─▶ guard (framing has one meaning) ─▶ hyper ─▶ judge ─┬▶ denial (the one shape)
//!                                                            └▶ forward ─▶ upstream connection of this client
//! ```
//! A connection to the world belongs to one connection of the guest and is never shared.

mod denial;
mod forward;
pub(crate) mod guard;
pub(crate) mod head;
mod headers;
mod judge;
mod masked;
mod refusal;
mod serve;
mod settle;

pub(crate) use self::serve::{Front, serve};
