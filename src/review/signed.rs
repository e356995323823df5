//! Who signed a commit. SSH signatures only (OpenSSH's PROTOCOL.sshsig), verified with the cryptography that TLS uses
//! here anyway: no second implementation of the same curves comes in for it.
//!
//! The commit is taken apart as bytes, by the rules of git's own object format and by nobody else's, because what is
//! verified has to be what is read: exactly one `gpgsig`, everything else of the object is the message.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256, Sha512};

use crate::model::signer::{KeyError, PublicKey, Signer, ssh_string};

/// Largest commit that is judged, in bytes.
pub const COMMIT_MAX: usize = 1 << 20;
/// Longest signature, in bytes of its text: some ten times what these kinds need.
const SIGNATURE_MAX: usize = 4 << 10;
const MAGIC: &[u8] = b"SSHSIG";
/// What git signs for. A signature for a file, an e-mail or a log-in is another one.
const NAMESPACE: &[u8] = b"git";

/// Why nobody that counts has signed a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It carries no signature.
    #[error("it is not signed")]
    Unsigned,
    /// It is signed with OpenPGP or X.509.
    #[error("it is signed with {0}, which is not verified: sign with SSH (git config gpg.format ssh)")]
    Format(&'static str),
    /// The object or its signature has another form.
    #[error("its signature cannot be read: {0}")]
    Form(&'static str),
    /// The signature is for something else.
    #[error("its signature is for `{0}`, not for git")]
    Namespace(String),
    /// The key is of a kind that is not verified.
    #[error("its signature cannot be read: {0}")]
    Key(#[from] KeyError),
    /// The key is nobody's that counts.
    #[error("it is signed with {fingerprint}, which is none of `signers`")]
    Unknown {
        /// Of the key.
        fingerprint: String,
    },
    /// The signature does not belong to these bytes.
    #[error("its signature is not of this commit")]
    Wrong,
}

/// What has to hold before committed approvals count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The signature is for git.
    Namespace,
    /// Its key is one that counts.
    Signer,
    /// It is of this commit.
    Bytes,
    /// The file says that it is of this repository.
    Repository,
    /// The commit descends from what counted before.
    Descent,
}

/// The checks that are made: all of them. Tests leave one out to show what it is worth.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checks {
    #[cfg(test)]
    skipped: Option<Check>,
}

impl Checks {
    /// A broken build.
    #[cfg(test)]
    pub(crate) const fn without(check: Check) -> Self {
        Self { skipped: Some(check) }
    }

    /// Whether a check is left out.
    #[cfg(test)]
    #[must_use]
    pub fn skips(self, check: Check) -> bool {
        self.skipped == Some(check)
    }

    /// Whether a check is left out: none is.
    #[cfg(not(test))]
    #[must_use]
    pub const fn skips(self, _: Check) -> bool {
        false
    }
}

/// The one of `signers` who signed `commit`, the content of a commit object.
///
/// # Errors
/// When none of them did.
pub fn signer_of(commit: &[u8], signers: &[Signer], checks: Checks) -> Result<Signer, SignatureError> {
    let (message, armour) = split(commit)?;
    let blob = unarmoured(&armour)?;
    let signature = Signature::read(&blob).ok_or(SignatureError::Form("it is no SSH signature"))?;
    if signature.namespace != NAMESPACE && !checks.skips(Check::Namespace) {
        let namespace = String::from_utf8_lossy(signature.namespace);
        return Err(SignatureError::Namespace(
            namespace.chars().take(40).flat_map(char::escape_debug).collect(),
        ));
    }
    let key = PublicKey::from_ssh(signature.key)?;
    let signer = match signers.iter().find(|signer| signer.key == key) {
        Some(signer) => signer.clone(),
        None if checks.skips(Check::Signer) => Signer { key, name: key.fingerprint() },
        None => return Err(SignatureError::Unknown { fingerprint: key.fingerprint() }),
    };
    if !checks.skips(Check::Bytes) {
        signature.verify(&key, &message)?;
    }
    Ok(signer)
}

/// The bytes that were signed, and the signature's text.
fn split(commit: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SignatureError> {
    if commit.len() > COMMIT_MAX {
        return Err(SignatureError::Form("the commit is larger than 1 MiB"));
    }
    let (mut message, mut armour) = (Vec::with_capacity(commit.len()), None::<Vec<u8>>);
    let mut rest = commit;
    let mut within = false;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n').filter(|end| *end > 0) {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let more = line.strip_prefix(b" ");
        let first = line.strip_prefix(b"gpgsig ");
        // The signature of the same commit under its SHA-256 name: which of the two counts would be a choice.
        if line.starts_with(b"gpgsig-") || (first.is_some() && armour.is_some()) {
            return Err(SignatureError::Form("it carries more than one"));
        }
        within = first.is_some() || (within && more.is_some());
        match (within, first.or(more)) {
            (true, Some(text)) => armour.get_or_insert_default().extend(text),
            _ => message.extend(line),
        }
    }
    message.extend(rest);
    armour.map(|armour| (message, armour)).ok_or(SignatureError::Unsigned)
}

/// The bytes between the lines of `-----BEGIN SSH SIGNATURE-----`.
fn unarmoured(armour: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let form = || SignatureError::Form("it is no SSH signature");
    if armour.len() > SIGNATURE_MAX {
        return Err(SignatureError::Form("it is longer than any of these kinds"));
    }
    let text = std::str::from_utf8(armour).map_err(|_| form())?.trim_end();
    if text.starts_with("-----BEGIN PGP ") {
        return Err(SignatureError::Format("OpenPGP"));
    }
    if text.starts_with("-----BEGIN SIGNED MESSAGE-----") {
        return Err(SignatureError::Format("X.509"));
    }
    let inner = text.strip_prefix("-----BEGIN SSH SIGNATURE-----\n").ok_or_else(form)?;
    let inner = inner.strip_suffix("\n-----END SSH SIGNATURE-----").ok_or_else(form)?;
    STANDARD.decode(inner.replace('\n', "")).map_err(|_| form())
}

/// The parts of an SSH signature.
struct Signature<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: &'a [u8],
    format: &'a [u8],
    value: &'a [u8],
}

impl<'a> Signature<'a> {
    fn read(blob: &'a [u8]) -> Option<Self> {
        let mut rest = blob.strip_prefix(MAGIC)?.strip_prefix(&1_u32.to_be_bytes())?;
        let mut next = || ssh_string(&mut rest);
        let (key, namespace, reserved, hash) = (next()?, next()?, next()?, next()?);
        let mut inner = next()?;
        let (format, value) = (ssh_string(&mut inner)?, ssh_string(&mut inner)?);
        (rest.is_empty() && inner.is_empty()).then_some(Self {
            key,
            namespace,
            reserved,
            hash,
            format,
            value,
        })
    }

    fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), SignatureError> {
        let digest = match self.hash {
            b"sha256" => Sha256::digest(message).to_vec(),
            b"sha512" => Sha512::digest(message).to_vec(),
            _ => return Err(SignatureError::Form("its digest is neither sha256 nor sha512")),
        };
        if self.format != key.kind().as_bytes() {
            return Err(SignatureError::Form("it is of another kind than its key"));
        }
        let mut signed = MAGIC.to_vec();
        for part in [self.namespace, self.reserved, self.hash, &digest] {
            signed.extend(u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
            signed.extend(part);
        }
        let verified = match key {
            PublicKey::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(&signed, self.value),
            PublicKey::P256(point) => {
                let value = fixed(self.value).ok_or(SignatureError::Wrong)?;
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&signed, &value)
            }
        };
        verified.map_err(|_| SignatureError::Wrong)
    }
}

/// The two numbers of an ECDSA signature, 32 bytes each.
fn fixed(mut value: &[u8]) -> Option<[u8; 64]> {
    let mut whole = [0; 64];
    for half in whole.chunks_exact_mut(32) {
        let number = ssh_string(&mut value)?;
        let number = number.strip_prefix(&[0]).map_or(Cow::Borrowed(number), Cow::Borrowed);
        let start = 32_usize.checked_sub(number.len())?;
        half[start..].copy_from_slice(&number);
    }
    value.is_empty().then_some(whole)
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
