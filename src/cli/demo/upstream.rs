//! The world of the demo: servers on loopback that stand for a model provider, a paste site and a tool server. They
//! answer whoever reaches them and note what arrived, so that "blocked" is judged where it counts.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// One request that arrived at an upstream server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Host that it was for.
    pub host: String,
    /// Value of the header that carries the key, when there is one.
    pub key: Option<String>,
}

/// The servers, for as long as this lives.
pub struct World {
    /// Where every name of the demo lives.
    pub address: SocketAddr,
    /// Certificate of the authority that signed the servers' certificates, PEM.
    pub authority_pem: String,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    _stop: tokio::sync::oneshot::Sender<Infallible>,
}

impl World {
    /// Starts one server that answers for all of `names`, on a thread of its own.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub fn start(names: &[&str], key_header: &'static str) -> io::Result<Self> {
        let (tls, authority_pem) = certificates(names).map_err(io::Error::other)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let arrivals = Arc::<Mutex<Vec<Arrival>>>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let noted = Arc::clone(&arrivals);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("demo-world".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = serve(listener, tls, key_header, noted) => {}
                }
            });
        })?;
        Ok(Self { address, authority_pem, arrivals, _stop: stop })
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn certificates(names: &[&str]) -> Result<(TlsAcceptor, String), Box<dyn std::error::Error + Send + Sync>> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "Cofferdam demo authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}

async fn serve(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    key_header: &'static str,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = connection(stream, tls.clone(), key_header, Arc::clone(&arrivals));
        tokio::spawn(async move {
            // A client that goes away, or speaks no TLS, is not this server's trouble.
            let _ = connection.await;
        });
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    key_header: &'static str,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = tls.accept(stream).await?;
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let header =
            |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let host = header("host").unwrap_or_default();
        let arrival =
            Arrival { host: host.split(':').next().unwrap_or_default().to_owned(), key: header(key_header) };
        arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
        async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
                b"{\"answer\":\"hello from the demo's model\"}\n",
            ))))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}
