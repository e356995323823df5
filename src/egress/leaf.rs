//! Leaf certificates of the sandbox's own authority: one name each, for a day at most.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SigningKey, SingleCertAndKey},
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::model::rule::Target;

use super::{
    EgressError,
    authority::Authority,
    faults::{Check, Faults},
    limits::{self, Bucket},
};

/// Before now, for guests whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// After now.
const VALID: Duration = Duration::from_secs(22 * 60 * 60);
/// A leaf is made anew this long after it was made, well before it ends.
const RENEWED: Duration = Duration::from_secs(12 * 60 * 60);
/// Leaves that are kept: for allowed names, and apart from them for denied ones, which a guest can invent.
const KEPT: usize = 512;
const KEPT_DENIED: usize = 128;

/// Why no leaf was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeafError {
    /// Too many leaves for denied names.
    #[error("too many certificates for denied names were asked for")]
    Rate,
    /// The certificate library refused.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused.
    #[error("no TLS configuration could be made")]
    Tls(#[from] rustls::Error),
}

/// Makes and keeps leaves. All share one key pair, which never leaves this process and is new with each.
pub(crate) struct Leaves {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    signer: Arc<dyn SigningKey>,
    provider: Arc<CryptoProvider>,
    kept: Mutex<Kept>,
    denied: Mutex<Kept>,
    denied_rate: Bucket,
    faults: Faults,
}

type Kept = HashMap<Target, (Instant, Arc<ServerConfig>)>;

impl Leaves {
    /// From the authority's certificate and key.
    pub fn new(
        authority: &Authority,
        provider: Arc<CryptoProvider>,
        faults: Faults,
    ) -> Result<Self, EgressError> {
        let ca_key = PrivatePkcs8KeyDer::from(authority.key.expose());
        let ca_key = KeyPair::from_pkcs8_der_and_sign_algo(&ca_key, &rcgen::PKCS_ECDSA_P256_SHA256);
        let issuer = ca_key
            .and_then(|key| Issuer::from_ca_cert_pem(&authority.certificate_pem, key))
            .map_err(EgressError::Authority)?;
        let key = KeyPair::generate().map_err(EgressError::Authority)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = provider.key_provider.load_private_key(der).map_err(EgressError::Tls)?;
        let denied_rate = Bucket::new(limits::DENIED_LEAF_RATE);
        Ok(Self {
            issuer,
            key,
            signer,
            provider,
            kept: Mutex::default(),
            denied: Mutex::default(),
            denied_rate,
            faults,
        })
    }

    /// The server side for one name. `denied` names have a small cache and a rate of their own.
    pub fn config(&self, target: &Target, denied: bool) -> Result<Arc<ServerConfig>, LeafError> {
        let (cache, most) = if denied { (&self.denied, KEPT_DENIED) } else { (&self.kept, KEPT) };
        let lock = || cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, config)) = lock().get(target)
            && made.elapsed() < RENEWED
        {
            return Ok(config.clone());
        }
        if denied && !self.denied_rate.take() {
            return Err(LeafError::Rate);
        }
        let config = Arc::new(self.make(target)?);
        let mut kept = lock();
        if kept.len() >= most
            && let Some(oldest) =
                kept.iter().min_by_key(|(_, (made, _))| *made).map(|(target, _)| target.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(target.clone(), (Instant::now(), config.clone()));
        Ok(config)
    }

    fn make(&self, target: &Target) -> Result<ServerConfig, LeafError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Cofferdam intercepted connection");
        params.subject_alt_names = vec![subject(target)?];
        if self.faults.skips(Check::LeafName) {
            params.subject_alt_names.push(SanType::DnsName("*.test".try_into()?));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (SystemTime::now() - BACKDATED).into();
        params.not_after = (SystemTime::now() + VALID).into();
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        let certified = CertifiedKey::new(vec![certificate.der().clone()], self.signer.clone());
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // No session is resumed: a ticket would carry one name's decision to another connection.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn subject(target: &Target) -> Result<SanType, rcgen::Error> {
    match target {
        Target::Name(name) => Ok(SanType::DnsName(name.as_str().try_into()?)),
        Target::Address(address) => Ok(SanType::IpAddress(IpAddr::clone(address))),
    }
}
