//! Any bytes as a commit object and as a signer's line: never a panic, nothing that a terminal obeys, and nobody has
//! signed what a fuzzer made.
#![no_main]

use cofferdam::{
    model::signer::{PublicKey, Signer},
    review::signed::{Checks, signer_of},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let key = PublicKey::Ed25519([7; 32]);
    let signers = [Signer { name: key.fingerprint(), key }];
    let error = signer_of(bytes, &signers, Checks::default()).expect_err("there is no private key");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
    if let Ok(signer) = String::from_utf8_lossy(bytes).parse::<Signer>() {
        assert_eq!(signer.to_string().parse::<Signer>().as_ref(), Ok(&signer));
    }
    let _ = PublicKey::from_ssh(bytes);
});
