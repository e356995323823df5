//! Signs commits as git with `gpg.format ssh` does, for tests. Keys are made when a test runs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use git2::{Oid, Repository};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use sha2::{Digest, Sha512};

use crate::model::signer::{PublicKey, Signer};

/// A key pair.
pub(crate) enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Pair {
    pub fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key"))
    }

    pub fn p256() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        Self::P256(EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect("a key"))
    }

    pub fn key(&self) -> PublicKey {
        match self {
            Self::Ed25519(pair) => {
                PublicKey::Ed25519(pair.public_key().as_ref().try_into().expect("its length"))
            }
            Self::P256(pair) => PublicKey::P256(pair.public_key().as_ref().try_into().expect("its length")),
        }
    }

    pub fn signer(&self, name: &str) -> Signer {
        Signer { key: self.key(), name: name.to_owned() }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Self::P256(pair) => {
                let value = pair.sign(&SystemRandom::new(), bytes).expect("a signature");
                value.as_ref().chunks(32).flat_map(|number| string(&number_of(number))).collect()
            }
        }
    }

    /// The armoured signature of `message`.
    pub fn armour(&self, namespace: &str, message: &[u8]) -> String {
        let digest = Sha512::digest(message);
        let parts = [namespace.as_bytes(), b"", b"sha512"];
        let head: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
        let value = self.sign(&[b"SSHSIG", &head[..], &string(&digest)].concat());
        let value = [string(self.key().kind().as_bytes()), string(&value)].concat();
        let version = 1_u32.to_be_bytes();
        let blob = [b"SSHSIG", &version[..], &string(&self.key().to_ssh()), &head, &string(&value)].concat();
        let text = STANDARD.encode(blob);
        let lines: Vec<&str> =
            text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).expect("base64")).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----", lines.join("\n"))
    }

    /// Writes `commit` anew, signed.
    pub fn resign(&self, repository: &Repository, commit: Oid) -> Oid {
        self.resign_for("git", repository, commit)
    }

    pub fn resign_for(&self, namespace: &str, repository: &Repository, commit: Oid) -> Oid {
        let found = repository.odb().expect("the objects").read(commit).expect("the commit").data().to_vec();
        let text = self.armour(namespace, &found);
        let content = std::str::from_utf8(&found).expect("plain text");
        repository.commit_signed(content, &text, None).expect("it is written")
    }
}

/// A number as SSH writes it: a byte more where the first bit is set.
fn number_of(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let number = &bytes[start..];
    match number.first() {
        Some(first) if *first >= 0x80 => [&[0], number].concat(),
        _ => number.to_vec(),
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}
