//! Whose signatures count: public keys as OpenSSH writes them, `ssh-ed25519 AAAA… alice@corp.example`.

use std::{fmt, str::FromStr};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Longest line that is looked at, in bytes: far above any key of these kinds.
const LINE_MAX: usize = 1024;
const ED25519: &str = "ssh-ed25519";
const P256: &str = "ecdsa-sha2-nistp256";

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// Ed25519 (RFC 8709).
    Ed25519([u8; 32]),
    /// ECDSA on P-256, the point uncompressed (RFC 5656).
    P256([u8; 65]),
}

/// Why bytes or a text are no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not written as one.
    #[error("this is no public key; write the line of the .pub file: ssh-ed25519 AAAA… alice@corp.example")]
    Form,
    /// It is of a kind that is not verified.
    #[error("keys of kind `{0}` are not verified: use {ED25519} or {P256}")]
    Kind(String),
}

/// Somebody whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key: PublicKey,
    /// What stands behind the key, else its fingerprint.
    pub name: String,
}

impl PublicKey {
    /// Reads the binary form of RFC 4253, section 6.6.
    ///
    /// # Errors
    /// When it is another form, or a kind that is not verified.
    pub fn from_ssh(blob: &[u8]) -> Result<Self, KeyError> {
        let mut rest = blob;
        let kind = ssh_string(&mut rest).ok_or(KeyError::Form)?;
        let key = match kind {
            kind if kind == ED25519.as_bytes() => {
                ssh_string(&mut rest).and_then(|key| key.try_into().ok()).map(Self::Ed25519)
            }
            kind if kind == P256.as_bytes() => {
                let curve = ssh_string(&mut rest).filter(|curve| *curve == b"nistp256");
                let point =
                    curve.and_then(|_| ssh_string(&mut rest)).filter(|point| point.first() == Some(&4));
                point.and_then(|point| point.try_into().ok()).map(Self::P256)
            }
            kind => {
                let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'`';
                let name = kind.iter().take(60).filter(|byte| plain(byte)).map(|byte| char::from(*byte));
                return Err(KeyError::Kind(name.collect()));
            }
        };
        key.filter(|_| rest.is_empty()).ok_or(KeyError::Form)
    }

    /// Its kind, as OpenSSH calls it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => ED25519,
            Self::P256(_) => P256,
        }
    }

    /// The binary form of RFC 4253.
    #[must_use]
    pub fn to_ssh(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        let mut add = |part: &[u8]| {
            blob.extend(u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
            blob.extend(part);
        };
        add(self.kind().as_bytes());
        match self {
            Self::Ed25519(key) => add(key),
            Self::P256(point) => {
                add(b"nistp256");
                add(point);
            }
        }
        blob
    }

    /// As `ssh-keygen -l` shows it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(self.to_ssh())))
    }
}

impl FromStr for Signer {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        if line.len() > LINE_MAX || line.contains(char::is_control) {
            return Err(KeyError::Form);
        }
        let mut words = line.trim().splitn(3, ' ');
        let (kind, blob) = words.next().zip(words.next()).ok_or(KeyError::Form)?;
        let key = PublicKey::from_ssh(&STANDARD.decode(blob).map_err(|_| KeyError::Form)?)?;
        if key.kind() != kind {
            return Err(KeyError::Form);
        }
        let comment = words.next().map(str::trim).filter(|comment| !comment.is_empty());
        Ok(Self { name: comment.map_or_else(|| key.fingerprint(), str::to_owned), key })
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.key.kind(), STANDARD.encode(self.key.to_ssh()), self.name)
    }
}

impl Serialize for Signer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes one length and so many bytes from the front.
pub fn ssh_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_openssh_writes_them() {
        let ed25519 = PublicKey::Ed25519([7; 32]);
        let mut point = [9; 65];
        point[0] = 4;
        for key in [ed25519, PublicKey::P256(point)] {
            let line = format!("{} {}", key.kind(), STANDARD.encode(key.to_ssh()));
            let signer: Signer = format!("{line} alice@corp.example").parse().unwrap();
            assert_eq!((signer.key, signer.name.as_str()), (key, "alice@corp.example"));
            assert_eq!(signer.to_string().parse(), Ok(signer));
            let nameless: Signer = line.parse().unwrap();
            assert_eq!(nameless.name, key.fingerprint());
        }
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        let blob = PublicKey::Ed25519([7; 32]).to_ssh();
        let line = |kind: &str, blob: &[u8]| format!("{kind} {}", STANDARD.encode(blob));
        let rsa = [&7_u32.to_be_bytes()[..], b"ssh-rsa"].concat();
        for (wrong, expected) in [
            (String::new(), KeyError::Form),
            (line(P256, &blob), KeyError::Form),
            (line(ED25519, &blob[..40]), KeyError::Form),
            (line(ED25519, &[&blob[..], b"x"].concat()), KeyError::Form),
            (line("ssh-rsa", &rsa), KeyError::Kind("ssh-rsa".to_owned())),
            (line(ED25519, &[0xff; 8]), KeyError::Form),
        ] {
            assert_eq!(wrong.parse::<Signer>(), Err(expected), "{wrong}");
        }
    }
}
