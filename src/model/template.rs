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

/// Packages whose versions stand for the built-in base: the release's own mark, and what an agent's shell needs from the
/// first minute.
pub const BASE_PACKAGES: [&str; 10] =
    ["base-files", "bash", "ca-certificates", "curl", "git", "kmod", "less", "procps", "sudo", "xz-utils"];

/// Whether the built-in base has this package anyway.
#[must_use]
pub fn is_base_package(name: &str) -> bool {
    BASE_PACKAGES.contains(&name)
}

/// Longest name of a package, in bytes; the longest in Debian 12 has 77.
const PACKAGE_MAX: usize = 128;

/// Whether `name` is that of a package (Debian policy, section 5.6.1): at least two characters, lower-case letters,
/// digits, `+`, `-` and `.`, the first of them a letter or digit. Nothing that a tool could take for an option.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    let first =
        name.as_bytes().first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    // With a dash at its end apt may take the name for the wish to remove another package.
    first && !name.ends_with('-') && (2..=PACKAGE_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// Whether `version` is one of a package (Debian policy, section 5.6.12): letters, digits and `.+-~:`, the first of
/// them a digit.
#[must_use]
pub fn is_package_version(version: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte);
    version.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && version.len() <= PACKAGE_MAX
        && version.bytes().all(plain)
}
