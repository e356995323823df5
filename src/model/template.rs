//! What a root file system is made of, by the names that its parts have in the cache.

use serde::{Deserialize, Serialize};

/// An image and the layers on it. A system disk stands on exactly one of these for its life: what lies below an overlay
/// must not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// The image.
    pub image: ImageId,
    /// What build steps changed on it, lowest first: keys of layers.
    #[serde(default)]
    pub layers: Vec<String>,
}

/// An image in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageId {
    /// The base, by the digest of its content.
    Base(String),
    /// The base with further packages, by the key of what it was made from.
    Packages(String),
}

impl ImageId {
    /// Digest or key: 64 hexadecimal digits.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Base(key) | Self::Packages(key) => key,
        }
    }
}

impl Stack {
    /// Whether the part of this key is in it.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        self.image.key() == key || self.layers.iter().any(|layer| layer == key)
    }
}
