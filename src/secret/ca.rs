//! The interception CA: one per sandbox, valid for its life, not name-constrained (`DESIGN.md`, section 3: OpenSSL
//! honours constraints, and a host allowed later would fail). Made in a short-lived process; only its certificate
//! enters the guest.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};

use crate::model::{name::Name, redacted::Redacted};

/// Longer than any sandbox lives.
const VALID: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The guest's clock may be behind the host's until the keeper has set it.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// A certificate authority.
#[derive(Debug)]
pub struct Ca {
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PKCS#8 DER; to be [sealed](super::seal) at once.
    pub key: Redacted,
}

/// Why no CA was made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
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

impl Ca {
    /// Makes the CA of the sandbox `name`, valid from about `now`.
    ///
    /// # Errors
    /// When key or certificate cannot be made.
    pub fn generate(name: &Name, now: Timestamp) -> Result<Self, CaError> {
        let start = now - BEFORE;
        let since_epoch = u64::try_from(start.as_second()).map_err(|_| CaError::Clock(now))?;
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch);
        params.not_after = params.not_before + VALID;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Cofferdam {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.serial_number = Some(serial()?);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { certificate_pem, key: Redacted::new(key.serialize_der()) })
    }
}

/// 127 random bits: positive, as RFC 5280 (4.1.2.2) wants it.
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(CaError::Random)?;
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

    fn ca() -> Ca {
        Ca::generate(&"dev".parse().unwrap(), NOW.parse().unwrap()).unwrap()
    }

    fn issuer(ca: &Ca) -> Issuer<'static, KeyPair> {
        let der = PrivatePkcs8KeyDer::from(ca.key.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).unwrap();
        Issuer::from_ca_cert_pem(&ca.certificate_pem, key).unwrap()
    }

    fn leaf(ca: &Ca, host: &str) -> CertificateDer<'static> {
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), &issuer(ca)).unwrap().der().clone()
    }

    /// Whether a client that trusts `ca` takes `leaf` for `host`, `years` from now.
    fn trusts(ca: &Ca, leaf: &CertificateDer<'_>, years: u64) -> bool {
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
        assert!(holds(b"Cofferdam dev"));
    }

    #[test]
    fn e17_the_key_does_not_show() {
        let ca = ca();
        assert!(format!("{ca:?}").contains("[redacted]"));
        assert!(!ca.certificate_pem.contains("PRIVATE"));
        let sealed = super::super::seal(&ca.key).unwrap();
        assert_eq!(super::super::open_sealed(sealed).unwrap().expose(), ca.key.expose());
    }
}
