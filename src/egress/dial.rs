//! The world's side: names are resolved here, after they were allowed, and nowhere else; what is dialled is the
//! address that was checked.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_resolver::{
    Resolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    model::{
        api,
        rule::{NetworkRule, Target},
    },
    policy::{Permit, explain::place, floor},
};

use super::{
    EgressError,
    faults::{Check, Faults},
    io::BoxIo,
    limits::{CONNECT_TIME, HANDSHAKE_TIME, LOOKUP_TIME},
};

/// A future that a trait object answers with.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What this process asks of the network. Tests answer in its place, so that a broken check dials nobody.
pub(crate) trait World: Send + Sync {
    /// Every address of a name.
    fn lookup<'a>(&'a self, name: &'a str) -> Answer<'a, io::Result<Vec<IpAddr>>>;
    /// A connection to an address.
    fn connect(&self, address: SocketAddr) -> Answer<'_, io::Result<BoxIo>>;
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name does not resolve.
    #[error("the name does not resolve")]
    Resolve(#[source] io::Error),
    /// The name resolves to an address that the floor closes.
    #[error("the name resolves to {0}, which rule {rule} closes", rule = .1.id)]
    Address(IpAddr, Box<NetworkRule>),
    /// Nobody answers.
    #[error("the server cannot be reached")]
    Connect(#[source] io::Error),
    /// The server's certificate is not right for its name, or it speaks no TLS.
    #[error("the server's TLS is not acceptable")]
    Tls(#[source] io::Error),
}

impl DialError {
    /// The stable reason code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "upstream_unresolved",
            Self::Address(..) => "resolved_private",
            Self::Connect(_) => "upstream_unreachable",
            Self::Tls(_) => "upstream_tls",
        }
    }
}

/// How to reach the world.
pub(crate) struct Upstream {
    resolve: BTreeMap<String, SocketAddr>,
    hosts: HashMap<String, Vec<IpAddr>>,
    tls: Arc<ClientConfig>,
    /// The network.
    pub world: Arc<dyn World>,
    faults: Faults,
}

impl Upstream {
    /// From what the keeper read on the host.
    pub fn new(
        upstream: &api::Upstream,
        world: Arc<dyn World>,
        provider: Arc<CryptoProvider>,
        faults: Faults,
    ) -> Result<Self, EgressError> {
        let mut roots = RootCertStore::empty();
        for root in &upstream.roots {
            let der = STANDARD.decode(root).map_err(|_| EgressError::Root)?;
            // A host's store may hold what this library does not read; the others still count.
            let _unreadable = roots.add(CertificateDer::from(der));
        }
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(EgressError::Tls)?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        #[cfg(test)]
        if faults.skips(Check::UpstreamCertificate) {
            tls.dangerous().set_certificate_verifier(Arc::new(super::tests::Trusting(provider)));
        }
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (address, name) in &upstream.hosts {
            hosts.entry(name.to_ascii_lowercase()).or_default().push(*address);
        }
        Ok(Self { resolve: upstream.resolve.clone(), hosts, tls: Arc::new(tls), world, faults })
    }

    /// A connection to what the permit names.
    pub async fn tcp(&self, permit: &Permit) -> Result<BoxIo, DialError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses(permit).await? {
            match timeout(CONNECT_TIME, self.world.connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(DialError::Connect(last))
    }

    /// The same, with TLS whose certificate was verified for the permit's target.
    pub async fn tls(&self, permit: &Permit) -> Result<BoxIo, DialError> {
        let stream = self.tcp(permit).await?;
        let name = match permit.target() {
            Target::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
            Target::Address(address) => Ok(ServerName::from(*address)),
        };
        let connecting = TlsConnector::from(self.tls.clone()).connect(name.map_err(DialError::Tls)?, stream);
        match timeout(HANDSHAKE_TIME, connecting).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(DialError::Tls(error)),
            Err(_) => Err(DialError::Tls(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Addresses to dial, each checked: one that is closed closes all, because the name's owner chooses which the
    /// next look-up shows.
    async fn addresses(&self, permit: &Permit) -> Result<Vec<SocketAddr>, DialError> {
        let port = permit.port();
        if let Some(service) = permit.host_service() {
            return Ok(vec![(Ipv4Addr::LOCALHOST, service).into()]);
        }
        if let Some(address) = self.resolve.get(&place(permit.target(), port)) {
            return Ok(vec![*address]);
        }
        let mut found = match permit.target() {
            Target::Address(address) => vec![*address],
            Target::Name(name) => match self.hosts.get(name) {
                Some(addresses) => addresses.clone(),
                None => match timeout(LOOKUP_TIME, self.world.lookup(name)).await {
                    Ok(answer) => answer.map_err(DialError::Resolve)?,
                    Err(_) => return Err(DialError::Resolve(io::ErrorKind::TimedOut.into())),
                },
            },
        };
        for address in &found {
            if let Some(rule) = floor::forbids(*address, permit.addresses())
                && ![Check::ResolvedAddress, Check::Floor].iter().any(|check| self.faults.skips(*check))
            {
                return Err(DialError::Address(*address, Box::new(rule)));
            }
        }
        found.sort_by_key(IpAddr::is_ipv6);
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

/// The real network.
pub(crate) struct Internet {
    resolver: Option<Resolver<TokioRuntimeProvider>>,
}

impl Internet {
    /// With the host's resolvers. Opens no file.
    pub fn new(nameservers: &[SocketAddr]) -> Result<Self, EgressError> {
        let servers: Vec<NameServerConfig> = nameservers
            .iter()
            .map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                config
            })
            .collect();
        if servers.is_empty() {
            return Ok(Self { resolver: None });
        }
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        // Both kinds, so that a closed address of either is seen before one of the other is dialled.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().map_err(|error| EgressError::Resolver(io::Error::other(error)))?;
        Ok(Self { resolver: Some(resolver) })
    }
}

impl World for Internet {
    fn lookup<'a>(&'a self, name: &'a str) -> Answer<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let no_resolver = || io::Error::new(io::ErrorKind::NotFound, "this host has no resolver");
            let resolver = self.resolver.as_ref().ok_or_else(no_resolver)?;
            // The final dot: no search list.
            let found = resolver.lookup_ip(format!("{name}.")).await.map_err(io::Error::other)?;
            Ok(found.iter().collect())
        })
    }

    fn connect(&self, address: SocketAddr) -> Answer<'_, io::Result<BoxIo>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxIo)
        })
    }
}
