//! Servers on loopback that answer whoever reaches them and note every byte that arrives, so that "blocked" is judged
//! where it counts.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The authority that the operator's configuration trusts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing.
    Good,
    /// Signed by itself.
    SelfSigned,
    /// Good until 2001.
    Expired,
    /// For another name.
    WrongName,
}

impl Authority {
    /// A fresh one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        Self(
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"),
        )
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn server(&self, names: &[&str], flaw: Certificate) -> Arc<ServerConfig> {
        let names: Vec<String> = match flaw {
            Certificate::WrongName => vec!["somebody-else.test".to_owned()],
            _ => names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        if flaw == Certificate::Expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let leaf = match flaw {
            Certificate::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.0),
        };
        let leaf: CertificateDer<'static> = leaf.expect("a certificate").der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key);
        Arc::new(config.expect("the key is the certificate's"))
    }
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    connections: usize,
    closed: usize,
}

/// A server.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Upstream {
    /// Speaks HTTP, and answers each request with its first line. `/hold` is answered and never ended.
    pub fn http() -> Self {
        Self::start(reflect)
    }

    /// The same over TLS.
    pub fn https(authority: &Authority, names: &[&str], flaw: Certificate) -> Self {
        let config = authority.server(names, flaw);
        Self::start(move |stream, seen| {
            if let Ok(connection) = ServerConnection::new(Arc::clone(&config)) {
                reflect(StreamOwned::new(connection, stream), seen);
            }
        })
    }

    /// Returns what it is sent.
    pub fn echo() -> Self {
        Self::start(|mut stream, seen| {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut bytes) {
                seen.note(&bytes[..read]);
                if stream.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
        })
    }

    fn start(serve: impl Fn(TcpStream, &Notes) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("it listens");
        let seen = Arc::<(Mutex<Seen>, Condvar)>::default();
        let (notes, serve) = (Notes(Arc::clone(&seen)), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, serve) = (Notes(Arc::clone(&notes.0)), Arc::clone(&serve));
                notes.change(|seen| seen.connections += 1);
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    serve(stream, &notes);
                    notes.change(|seen| seen.closed += 1);
                });
            }
        });
        Self { address, seen }
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        lock(&self.seen.0).connections
    }

    /// Waits until more connections have come than these.
    #[track_caller]
    pub fn await_connection(&self, before: usize) {
        let (seen, changed) = &*self.seen;
        let few = |seen: &mut Seen| seen.connections <= before;
        let waited = changed.wait_timeout_while(lock(seen), Duration::from_secs(180), few);
        assert!(!waited.expect("no server panics").1.timed_out(), "nobody comes");
    }

    /// Whether any connection brought these bytes.
    pub fn received(&self, text: &str) -> bool {
        String::from_utf8_lossy(&lock(&self.seen.0).bytes).contains(text)
    }

    /// Waits until these bytes have come: for a machine to boot and to send them.
    #[track_caller]
    pub fn await_received(&self, text: &str) {
        let (seen, changed) = &*self.seen;
        let missing = |seen: &mut Seen| !String::from_utf8_lossy(&seen.bytes).contains(text);
        let waited = changed.wait_timeout_while(lock(seen), Duration::from_secs(180), missing);
        assert!(!waited.expect("no server panics").1.timed_out(), "{text} never comes");
    }

    /// Waits until every connection that came is closed.
    #[track_caller]
    pub fn await_closed(&self) {
        let (seen, changed) = &*self.seen;
        let open = |seen: &mut Seen| seen.closed < seen.connections;
        let waited = changed.wait_timeout_while(lock(seen), Duration::from_secs(20), open);
        assert!(!waited.expect("no server panics").1.timed_out(), "a connection stays open");
    }
}

struct Notes(Arc<(Mutex<Seen>, Condvar)>);

impl Notes {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut lock(&self.0.0));
        self.0.1.notify_all();
    }

    fn note(&self, bytes: &[u8]) {
        self.change(|seen| seen.bytes.extend_from_slice(bytes));
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one request.
fn reflect(mut stream: impl Read + Write, seen: &Notes) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 64 * 1024 {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    seen.note(&head);
    let text = String::from_utf8_lossy(&head).into_owned();
    let answered = if text.contains(" /hold ") {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nheld\n");
        let _ = stream.flush();
        // Returns when the other side closes.
        stream.read(&mut byte).map(|_| ())
    } else {
        // No more of it, because the rest may hold the key.
        let body = format!("reached by {}\n", text.lines().next().unwrap_or_default());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush())
    };
    drop(answered);
}
