//! The interception authority: one per sandbox, valid for its life. Only its certificate enters the guest; its key
//! stays in this process and, sealed and unmapped, in the keeper's hands.
//!
//! Not name-constrained: clients honour constraints, and then a host that is allowed later, or a denied one that
//! shall get an answer, would fail TLS.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};

use crate::model::redacted::Redacted;

/// Longer than any sandbox lives.
const VALID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The guest's clock may be behind the host's until the keeper has set it.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

/// The interception authority of one sandbox.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PKCS#8 in DER.
    pub key: Redacted,
}

/// Why no authority was made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The library refused.
    #[error("cannot make the sandbox's certificate authority")]
    Certificate(#[from] rcgen::Error),
    /// The kernel gave no random number.
    #[error("the kernel gave no random number: {0}")]
    Random(getrandom::Error),
    /// The host's clock stands before 1970.
    #[error("the host's clock says {0}; set it, certificates need the time")]
    Clock(Timestamp),
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Errors
    /// When key or certificate cannot be made, or the host's clock is not set.
    pub fn generate(sandbox: &str) -> Result<Self, AuthorityError> {
        Self::generate_at(sandbox, Timestamp::now())
    }

    fn generate_at(sandbox: &str, now: Timestamp) -> Result<Self, AuthorityError> {
        let start = now.checked_sub(BACKDATED).map_err(|_| AuthorityError::Clock(now))?;
        let since_epoch = u64::try_from(start.as_second()).map_err(|_| AuthorityError::Clock(now))?;
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch);
        params.not_after = params.not_before + VALID;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Cofferdam");
        params.distinguished_name.push(DnType::CommonName, format!("Cofferdam sandbox {sandbox}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.serial_number = Some(serial()?);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { certificate_pem, key: Redacted::new(key.serialize_der()) })
    }

    /// Its form in the memory file that outlives an egress: the certificate, a zero byte, the key.
    #[must_use]
    pub fn to_bytes(&self) -> Redacted {
        Redacted::new([self.certificate_pem.as_bytes(), &[0], self.key.expose()].concat())
    }

    /// From what [`Authority::to_bytes`] made.
    #[must_use]
    pub fn from_bytes(bytes: &Redacted) -> Option<Self> {
        let bytes = bytes.expose();
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let certificate_pem = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
        Some(Self { certificate_pem, key: Redacted::new(bytes[end + 1..].to_vec()) })
    }
}

/// 127 bits, positive and never short, all but one random: at most 20 octets (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(AuthorityError::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, Issuer};
    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject},
    };
    use std::sync::Arc;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn ca() -> Authority {
        Authority::generate_at("dev", NOW.parse().unwrap()).unwrap()
    }

    fn issuer(ca: &Authority) -> Issuer<'static, KeyPair> {
        let der = PrivatePkcs8KeyDer::from(ca.key.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).unwrap();
        Issuer::from_ca_cert_pem(&ca.certificate_pem, key).unwrap()
    }

    fn leaf(ca: &Authority, host: &str) -> CertificateDer<'static> {
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), &issuer(ca)).unwrap().der().clone()
    }

    /// Whether a client that trusts `ca` takes `leaf` for `host`, `years` from now.
    fn trusts(ca: &Authority, leaf: &CertificateDer<'_>, years: u64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.certificate_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now: Timestamp = NOW.parse().unwrap();
        let at = Duration::from_secs(now.as_second() as u64 + years * 365 * 24 * 3600);
        let host = ServerName::try_from("api.example").unwrap();
        verifier.verify_server_cert(leaf, &[], &host, &[], UnixTime::since_unix_epoch(at)).is_ok()
    }

    #[test]
    fn a_client_that_trusts_it_takes_its_leaf_for_its_life() {
        let ca = ca();
        let certificate = leaf(&ca, "api.example");
        assert!(trusts(&ca, &certificate, 0));
        assert!(trusts(&ca, &certificate, 9));
        assert!(!trusts(&ca, &leaf(&ca, "other.example"), 0));
    }

    #[test]
    fn c17_a_leaf_of_one_sandbox_is_nothing_in_another() {
        let (ours, theirs) = (ca(), ca());
        assert_ne!(ours.certificate_pem, theirs.certificate_pem);
        assert_ne!(ours.key.expose(), theirs.key.expose());
        let certificate = leaf(&theirs, "api.example");
        assert!(trusts(&theirs, &certificate, 0));
        assert!(!trusts(&ours, &certificate, 0));
    }

    #[test]
    fn c17_it_signs_leaves_and_makes_no_further_authorities() {
        // Clients that take a root as a root do not all look at these, so the bytes are looked at here.
        let ca = ca();
        let der = CertificateDer::from_pem_slice(ca.certificate_pem.as_bytes()).unwrap();
        let holds = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
        let critical = [0x01, 0x01, 0xff];
        // basicConstraints: CA, path length 0.
        let constraints = [0x04, 0x08, 0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00];
        assert!(holds(&[&[0x06, 0x03, 0x55, 0x1d, 0x13][..], &critical, &constraints].concat()));
        // keyUsage: keyCertSign alone.
        let usage = [0x04, 0x04, 0x03, 0x02, 0x02, 0x04];
        assert!(holds(&[&[0x06, 0x03, 0x55, 0x1d, 0x0f][..], &critical, &usage].concat()));
        // No nameConstraints.
        assert!(!holds(&[0x06, 0x03, 0x55, 0x1d, 0x1e]));
        assert!(holds(b"Cofferdam sandbox dev"));
    }

    #[test]
    fn e17_the_key_does_not_show() {
        let ca = ca();
        assert!(format!("{ca:?}").contains("[redacted]"));
        assert!(!ca.certificate_pem.contains("PRIVATE"));
        assert!(format!("{:?}", ca.to_bytes()).contains("[redacted]"));
    }

    #[test]
    fn it_comes_back_from_its_bytes() {
        let ca = ca();
        let again = Authority::from_bytes(&ca.to_bytes()).unwrap();
        assert_eq!(again.certificate_pem, ca.certificate_pem);
        assert_eq!(again.key.expose(), ca.key.expose());
        assert!(Authority::from_bytes(&Redacted::new(b"no zero byte".to_vec())).is_none());
    }

    #[test]
    fn a_serial_number_is_positive_long_and_new() {
        let (one, two) = (serial().unwrap().to_bytes(), serial().unwrap().to_bytes());
        assert_ne!(one, two);
        assert!(one.len() == 16 && (0x40..0x80).contains(&one[0]), "{one:?}");
    }

    #[test]
    fn a_clock_that_was_never_set_is_named() {
        for now in [Timestamp::UNIX_EPOCH, Timestamp::MIN] {
            let error = Authority::generate_at("dev", now).unwrap_err();
            assert!(matches!(error, AuthorityError::Clock(at) if at == now), "{error}");
        }
    }
}
