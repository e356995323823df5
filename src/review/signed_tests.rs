//! Whose word a commit is. Each refusal stands beside the same case with the one check left out.

use super::*;
use crate::review::signing::Pair;

const COMMIT: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@a.example> 0 +0000\ncommitter A <a@a.example> 0 +0000\n\nA message\ngpgsig not a header\n";

fn signed(content: &str, armour: &str) -> Vec<u8> {
    let header = format!("gpgsig {}\n", armour.replace('\n', "\n "));
    let at = content.find("\n\n").map_or(0, |at| at + 1);
    format!("{}{header}{}", &content[..at], &content[at..]).into_bytes()
}

fn judge(commit: &[u8], signers: &[Signer]) -> Result<String, SignatureError> {
    signer_of(commit, signers, Checks::default()).map(|signer| signer.name)
}

fn broken(commit: &[u8], signers: &[Signer], check: Check) -> bool {
    signer_of(commit, signers, Checks::without(check)).is_ok()
}

#[test]
fn a_signature_names_its_signer() {
    for pair in [Pair::ed25519(), Pair::p256()] {
        // Numbers of an ECDSA signature are shorter now and then.
        for round in 0..40 {
            let content = COMMIT.replace("A message", &format!("message {round}"));
            let commit = signed(&content, &pair.armour("git", content.as_bytes()));
            let signers = [Pair::ed25519().signer("bob"), pair.signer("alice@corp.example")];
            assert_eq!(judge(&commit, &signers).as_deref(), Ok("alice@corp.example"), "{content}");
        }
    }
}

#[test]
fn what_no_signer_signed_for_git_counts_for_nothing() {
    let (alice, mallory) = (Pair::ed25519(), Pair::ed25519());
    let signers = [alice.signer("alice")];
    let good = alice.armour("git", COMMIT.as_bytes());
    assert_eq!(judge(COMMIT.as_bytes(), &signers), Err(SignatureError::Unsigned));

    let other = signed(&COMMIT.replace("A message", "Another"), &good);
    assert_eq!(judge(&other, &signers), Err(SignatureError::Wrong));
    assert!(broken(&other, &signers, Check::Bytes));

    let file = signed(COMMIT, &alice.armour("file", COMMIT.as_bytes()));
    assert_eq!(judge(&file, &signers), Err(SignatureError::Namespace("file".to_owned())));
    assert!(broken(&file, &signers, Check::Namespace));

    let stranger = signed(COMMIT, &mallory.armour("git", COMMIT.as_bytes()));
    let fingerprint = mallory.key().fingerprint();
    assert_eq!(judge(&stranger, &signers), Err(SignatureError::Unknown { fingerprint }));
    assert!(broken(&stranger, &signers, Check::Signer));
    assert_eq!(judge(&signed(COMMIT, &good), &signers).as_deref(), Ok("alice"));
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let alice = Pair::p256();
    let signers = [alice.signer("alice")];
    let good = alice.armour("git", COMMIT.as_bytes());
    let commit = signed(COMMIT, &good);
    let twice = signed(std::str::from_utf8(&commit).unwrap(), &good);
    assert!(matches!(judge(&twice, &signers), Err(SignatureError::Form(_))));
    let sha256 = String::from_utf8(commit.clone()).unwrap().replace("\n\n", "\ngpgsig-sha256 x\n\n");
    assert!(matches!(judge(sha256.as_bytes(), &signers), Err(SignatureError::Form(_))));
    for (armour, expected) in [
        ("-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----", "OpenPGP"),
        ("-----BEGIN SIGNED MESSAGE-----\nx\n-----END SIGNED MESSAGE-----", "X.509"),
    ] {
        let error = judge(&signed(COMMIT, armour), &signers).unwrap_err();
        assert_eq!(error, SignatureError::Format(expected));
        assert!(error.to_string().contains("sign with SSH"), "{error}");
    }
    let long = format!("{good}{}", "\nx".repeat(3_000));
    for wrong in [good.replace("SSH", "SSI"), good.replace('A', "!"), long, String::new()] {
        assert!(matches!(judge(&signed(COMMIT, &wrong), &signers), Err(SignatureError::Form(_))), "{wrong}");
    }
    let cut = |bytes: usize| {
        let text: String = good.lines().filter(|line| !line.starts_with('-')).collect();
        let blob = STANDARD.decode(text).unwrap();
        let text = STANDARD.encode(&blob[..blob.len() - bytes]);
        format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----")
    };
    assert_eq!(judge(&signed(COMMIT, &cut(0)), &signers).as_deref(), Ok("alice"));
    assert!(judge(&signed(COMMIT, &cut(1)), &signers).is_err());
}
