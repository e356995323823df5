//! Secret values: fetched once, sealed, handed on as descriptors, and never printed.
//!
//! It exists so that few processes ever see a value. The broker, short-lived, fetches it from the operator's source
//! ([`fetch`](fn@fetch)), seals it into memory ([`memory_file`](crate::sys::memory_file)) and ends; the keeper holds only the
//! descriptor, never mapped; egress opens it. The guest has a random text in its place ([`placeholder`]).
//!
//! What is absent: no value in an error, a log, an argument, an environment or a file. Values are
//! [`Redacted`](crate::model::redacted::Redacted); buffers on the way there are overwritten.

mod command;
pub mod fetch;
pub mod placeholder;

pub use self::{
    fetch::{Fetched, SecretError, Surroundings, VALUE_MAX, fetch},
    placeholder::{FormError, generate},
};
