//! The world of a test: it answers, records, and dials nobody.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::plan::{PUBLIC, Plan};
use crate::egress::{
    Authority,
    dial::{Answer, World},
    io::{BoxIo, Prefixed},
};

/// The world: answers, records, dials nobody.
#[derive(Default)]
pub struct Scripted {
    pub answers: HashMap<String, Vec<&'static str>>,
    pub lookups: Mutex<Vec<String>>,
    pub dials: Mutex<Vec<SocketAddr>>,
    /// Every byte that reached an origin, decrypted.
    pub received: Arc<Mutex<Vec<u8>>>,
    pub tls: Option<Arc<ServerConfig>>,
    /// Nobody takes connections.
    pub refuses: AtomicBool,
}

impl World for Scripted {
    fn lookup<'a>(&'a self, name: &'a str) -> Answer<'a, io::Result<Vec<IpAddr>>> {
        self.lookups.lock().unwrap().push(name.to_owned());
        let found = self.answers.get(name).cloned().unwrap_or_else(|| vec![PUBLIC]);
        Box::pin(async move {
            let found: Vec<IpAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
            if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
        })
    }

    fn connect(&self, address: SocketAddr) -> Answer<'_, io::Result<BoxIo>> {
        self.dials.lock().unwrap().push(address);
        if self.refuses.load(Ordering::Relaxed) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve_origin(far, self.tls.clone().unwrap(), self.received.clone()));
        Box::pin(async move { Ok(Box::new(near) as BoxIo) })
    }
}

async fn serve_origin(mut stream: DuplexStream, tls: Arc<ServerConfig>, received: Arc<Mutex<Vec<u8>>>) {
    let mut first = [0; 1];
    if stream.read_exact(&mut first).await.is_err() {
        return;
    }
    let stream = Prefixed::new(first.to_vec(), stream);
    if first == [0x16] {
        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
            answer(stream, received).await;
        }
    } else {
        answer(stream, received).await;
    }
}

/// Answers each request; echoes what is no HTTP.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, received: Arc<Mutex<Vec<u8>>>) {
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    let mut asked = false;
    loop {
        let count = match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => count,
            _ => return,
        };
        received.lock().unwrap().extend_from_slice(&chunk[..count]);
        pending.extend_from_slice(&chunk[..count]);
        while let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = pending.drain(..end + 4).collect();
            // The last chunk of a body is none.
            if head[0].is_ascii_uppercase() {
                asked = true;
                let head = String::from_utf8_lossy(&head);
                if respond(&mut stream, &head).await.is_err() || head.starts_with("GET /bye ") {
                    return;
                }
            }
        }
        if !pending.first().is_some_and(u8::is_ascii_uppercase) {
            if !asked {
                stream.write_all(&pending).await.unwrap();
            }
            pending.clear();
        }
    }
}

async fn respond(stream: &mut (impl AsyncWrite + Unpin), head: &str) -> io::Result<()> {
    let key = head.lines().find_map(|line| line.strip_prefix("x-api-key: ")).unwrap_or("none");
    let text = match head.split(' ').nth(1).unwrap_or_default() {
        "/slow" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n".to_owned(),
        "/reflect" => format!("HTTP/1.1 200 OK\r\nX-Echo: {key}\r\nContent-Length: 2\r\n\r\nok"),
        "/echo" => {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{{\"key\":\"{key}\"}}", key.len() + 10)
        }
        "/zip" => "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "/alt" => {
            "HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"\r\nCofferdam-Rule: forged\r\nContent-Length: 2\r\n\r\nok"
                .to_owned()
        }
        "/switch" => {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_owned()
        }
        "/redirect" => {
            "HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    };
    stream.write_all(text.as_bytes()).await
}

/// An authority of the world, and the server side of an origin with names below `.test`.
pub fn origin_tls(plan: &Plan) -> (Vec<u8>, Arc<ServerConfig>) {
    let [world, nobody] = ["the world", "nobody"].map(|name| Authority::generate(name).unwrap());
    let root = CertificateDer::from_pem_slice(world.certificate_pem.as_bytes()).unwrap();
    let signing = if plan.origin_unknown { nobody } else { world };
    let issuer_key = rcgen::KeyPair::try_from(signing.key.expose()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&signing.certificate_pem, issuer_key).unwrap();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let names = match plan.origin_certificate {
        Some(name) => vec![name.to_owned()],
        None => ["api", "other", "evil", "bound", "inner"].map(|name| format!("{name}.test")).to_vec(),
    };
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    (root.to_vec(), Arc::new(config))
}
