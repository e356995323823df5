//! Secret values: fetched once, sealed, handed on as descriptors, and never printed.
//!
//! It exists so that few processes ever see a value. The broker, short-lived, fetches it from the operator's source
//! ([`fetch`]) or makes it ([`ca`]), seals it into memory ([`sealed`]) and ends; the keeper holds only the
//! descriptor, never mapped; egress opens it. The guest has a random text in its place ([`placeholder`]).
//!
//! What is absent: no value in an error, a log, an argument, an environment or a file. Values are
//! [`Redacted`](crate::model::redacted::Redacted); buffers on the way there are overwritten.

pub mod ca;
mod command;
pub mod fetch;
pub mod placeholder;
pub mod sealed;

pub use self::{
    ca::{Ca, CaError},
    fetch::{Fetched, SecretError, Surroundings, fetch},
    placeholder::{FormError, generate},
    sealed::{SealError, open_sealed, seal},
};
