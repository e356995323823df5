//! Text that must never be printed.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret value. It has no `Display`, its `Debug` shows nothing of it, it does not serialise, and its memory is
/// overwritten when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Redacted(Vec<u8>);

impl Redacted {
    /// Takes the value over.
    #[must_use]
    pub fn new(value: Vec<u8>) -> Self {
        Self(value)
    }

    /// The value, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e17_debug_shows_nothing() {
        assert_eq!(format!("{:?}", Redacted::new(b"hunter2".to_vec())), "[redacted]");
    }
}
