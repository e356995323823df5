//! The rig: a guest's side of the streams, a keeper, and a world that dials nobody.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::CertificateDer};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::UnixStream,
    sync::Notify,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::super::{
    Authority, Handles,
    dial::{Answer, Internet, World},
    faults::{Check, Faults},
    io::BoxIo,
    serve,
};
use crate::{
    model::{
        api::{self, EgressOrder, EgressReport, EgressSecret, EgressSetup, PolicyRevision, Upstream},
        event::{Decision, Draft},
        redacted::Redacted,
        rule::{Addresses, Effect, HostPattern, HostService, Layer, NetworkRule, Origin, Ports, Protocol},
        secret::{Injection, SecretBinding},
    },
    sys::handoff,
    wire::{StreamHeader, StreamKind, frame, port},
};

pub const PLACEHOLDER: &str = "cfd-PLACEHOLDER-0123456789";
pub const CANARY: &str = "canary-5f2c-real-key";
pub const PUBLIC: &str = "93.184.216.34";

pub fn origin() -> Origin {
    Origin { layer: Layer::Repository, file: Some("sandbox.yaml".into()), line: Some(7) }
}

pub fn rule(effect: Effect, pattern: &str, port: u16, protocol: Option<Protocol>) -> NetworkRule {
    let host = match pattern.parse() {
        Ok(net) => HostPattern::Net(net),
        Err(_) => match pattern.strip_prefix("**.") {
            Some(suffix) => HostPattern::AnyDepth(suffix.into()),
            None => HostPattern::Exact(pattern.into()),
        },
    };
    let ports = if port == 0 { Ports::ALL } else { Ports::one(port) };
    NetworkRule {
        id: format!("dev/{pattern}:{port}"),
        effect,
        host,
        ports,
        protocol,
        http: Vec::new(),
        addresses: Addresses::Public,
        why: "the test".into(),
        origin: origin(),
    }
}

pub fn allow(name: &str) -> NetworkRule {
    rule(Effect::Allow, name, 443, None)
}

pub fn secret(name: &str, host: &str, present: bool) -> EgressSecret {
    let inject = Injection { host: host.into(), port: 443, header: "x-api-key".into(), format: "{}".into() };
    let bearer = Injection {
        host: host.into(),
        port: 443,
        header: "authorization".into(),
        format: "Bearer {}".into(),
    };
    EgressSecret {
        binding: SecretBinding {
            name: name.into(),
            env: Some("API_KEY".into()),
            placeholder: String::new(),
            required: true,
            inject: vec![inject, bearer],
            origin: origin(),
        },
        placeholder: PLACEHOLDER.into(),
        present,
    }
}

/// What one test sets up.
#[derive(Default)]
pub struct Plan {
    pub rules: Vec<NetworkRule>,
    pub secrets: Vec<EgressSecret>,
    pub services: Vec<HostService>,
    pub off: Option<Check>,
    /// A second check that is off, where one alone stops an attack.
    pub also_off: Option<Check>,
    /// The table of names that the keeper hands over.
    pub names: Vec<(String, IpAddr)>,
    /// Name → addresses, where not public.
    pub answers: HashMap<String, Vec<&'static str>>,
    /// The origin's certificate is for this name instead of the one that is asked for.
    pub origin_certificate: Option<&'static str>,
    /// The origin's certificate is of an unknown authority.
    pub origin_unknown: bool,
    /// The operator's fixed addresses; with one the real network is dialled, which then is this host's loopback.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// The keeper never acknowledges records.
    pub unrecorded: bool,
}

/// The world: answers, records, dials nobody.
#[derive(Default)]
pub struct Scripted {
    answers: HashMap<String, Vec<&'static str>>,
    pub lookups: Mutex<Vec<String>>,
    pub dials: Mutex<Vec<SocketAddr>>,
    /// Every byte that reached an origin, decrypted.
    pub received: Arc<Mutex<Vec<u8>>>,
    tls: Option<Arc<ServerConfig>>,
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
    let stream = super::super::io::Prefixed::new(first.to_vec(), stream);
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

#[derive(Default)]
pub struct Keeper {
    pub events: Mutex<Vec<Draft>>,
    pub binds: Mutex<Vec<String>>,
    applied: Mutex<Option<(u64, u32)>>,
    news: Notify,
}

/// Everything together.
pub struct Rig {
    streams: OwnedFd,
    pub keeper: Arc<Keeper>,
    pub world: Arc<Scripted>,
    orders: tokio::sync::mpsc::UnboundedSender<EgressOrder>,
    roots: Arc<ClientConfig>,
    pub ca_pem: String,
}

impl Rig {
    pub async fn new(plan: Plan) -> Self {
        let authority = Authority::generate("dev").unwrap();
        let ca_pem = authority.certificate_pem.clone();
        let (root_der, tls) = origin_tls(&plan);
        let world = Arc::new(Scripted { answers: plan.answers, tls: Some(tls), ..Scripted::default() });
        let values =
            plan.secrets.iter().map(|bound| bound.present.then(|| Redacted::new(CANARY.into()))).collect();
        let setup = EgressSetup {
            version: api::VERSION,
            sandbox: "dev".into(),
            synthetic: "198.18.0.0/15".parse().unwrap(),
            names: plan.names,
            secrets: plan.secrets,
            upstream: Upstream {
                roots: vec![STANDARD.encode(root_der)],
                resolve: plan.resolve.clone(),
                ..Upstream::default()
            },
            policy: PolicyRevision {
                revision: 1,
                hash: "h1".into(),
                rules: plan.rules,
                host_services: plan.services,
            },
        };
        let (streams, far) = handoff::pair().unwrap();
        let (near, control) = StdStream::pair().unwrap();
        let handles = Handles { control, streams: far, authority, secrets: values };
        let faults = Faults { off: [plan.off, plan.also_off] };
        let (orders, keeper) = keep(near, plan.unrecorded);
        let dialled: Arc<dyn World> = match plan.resolve.is_empty() {
            true => world.clone(),
            false => Arc::new(Internet::new(&[]).unwrap()),
        };
        tokio::spawn(serve(setup, handles, dialled, faults));
        let roots = client_config(&ca_pem);
        Self { streams, keeper, world, orders, roots, ca_pem }
    }

    /// A stream with its header sent.
    pub async fn stream(&self, kind: StreamKind, destination: SocketAddr) -> UnixStream {
        self.stream_on(port::HOST_EGRESS, kind, destination).await
    }

    /// The same, dialled by the guest on another port.
    pub async fn stream_on(&self, port: u32, kind: StreamKind, destination: SocketAddr) -> UnixStream {
        let (near, far) = StdStream::pair().unwrap();
        handoff::send(&self.streams, port, &far).unwrap();
        drop(far);
        near.set_nonblocking(true).unwrap();
        let mut near = UnixStream::from_std(near).unwrap();
        let _closed = near.write_all(&StreamHeader { kind, destination }.encode()).await;
        near
    }

    pub async fn tcp(&self, address: &str) -> UnixStream {
        self.stream(StreamKind::Tcp, address.parse().unwrap()).await
    }

    /// What a program does: ask for the name, connect to the answer.
    pub async fn dial(&self, name: &str, port: u16) -> UnixStream {
        let address = self.resolve(name).await.expect("a synthetic address");
        self.stream(StreamKind::Tcp, (address, port).into()).await
    }

    /// A tunnel through the explicit proxy, and the proxy's answer to CONNECT.
    pub async fn tunnel(&self, authority: &str) -> (UnixStream, String) {
        let mut stream = self.stream(StreamKind::Proxy, "198.18.0.1:3128".parse().unwrap()).await;
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        (stream, String::from_utf8_lossy(&head).into_owned())
    }

    pub async fn query(&self, name: &str, kind: RecordType) -> Message {
        let mut stream = self.stream(StreamKind::Dns, "198.18.0.1:53".parse().unwrap()).await;
        stream.write_all(&framed_query(name, kind)).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    pub async fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        let answer = self.query(name, RecordType::A).await;
        assert!(matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain));
        answer.answers.iter().find_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
    }

    pub async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        sni: &str,
    ) -> io::Result<TlsStream<S>> {
        let name = match sni.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(sni.to_owned()).unwrap(),
        };
        TlsConnector::from(self.roots.clone()).connect(name, stream).await
    }

    /// One request over the transparent path, and the whole answer.
    pub async fn https(&self, name: &str, request: &str) -> String {
        let stream = self.dial(name, 443).await;
        let mut stream = self.tls(stream, name).await.expect("TLS with the sandbox's own authority");
        ask(&mut stream, request).await
    }

    pub async fn get(&self, name: &str, path: &str, headers: &str) -> String {
        self.https(name, &format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n{headers}\r\n")).await
    }

    pub fn order_policy(&self, revision: u64, rules: Vec<NetworkRule>) {
        let policy = PolicyRevision { revision, hash: "h".into(), rules, host_services: Vec::new() };
        self.orders.send(EgressOrder::Policy(policy)).unwrap();
    }

    pub async fn applied(&self, revision: u64) -> u32 {
        loop {
            let news = self.keeper.news.notified();
            if let Some((applied, closed)) = *self.keeper.applied.lock().unwrap()
                && applied >= revision
            {
                return closed;
            }
            news.await;
        }
    }

    /// Every event so far: a binding is acknowledged after what was reported before it.
    pub async fn events(&self) -> Vec<Draft> {
        let mut bytes = [0; 6];
        getrandom::fill(&mut bytes).unwrap();
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.resolve(&format!("{name}.settle.test")).await;
        self.keeper.events.lock().unwrap().clone()
    }

    /// The one event of an attempt that was denied.
    pub async fn denial(&self) -> Draft {
        let events = self.events().await;
        assert_eq!(events.len(), 1, "exactly one event: {events:#?}");
        assert_eq!(events[0].decision, Decision::Deny, "{events:#?}");
        events[0].clone()
    }

    pub fn dials(&self) -> usize {
        self.world.dials.lock().unwrap().len()
    }

    pub fn received(&self) -> String {
        String::from_utf8_lossy(&self.world.received.lock().unwrap()).into_owned()
    }
}

/// A query for a name's address, as it stands on a stream.
pub fn name_query(name: &str) -> Vec<u8> {
    framed_query(name, RecordType::A)
}

fn framed_query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let bytes = message.to_vec().unwrap();
    [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
}

/// Sends and reads one answer: a head and, where it has one, a sized body.
pub async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    let _closed = stream.write_all(request.as_bytes()).await;
    read_answer(stream).await
}

pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if length.is_none_or(|length: usize| body.len() >= length) {
                return text;
            }
        }
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return text,
        }
    }
}

/// Reads to the end; the stream must end.
pub async fn drained(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes).await;
    bytes
}

fn client_config(ca_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An authority of the world, and the server side of an origin with names below `.test`.
fn origin_tls(plan: &Plan) -> (Vec<u8>, Arc<ServerConfig>) {
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

fn keep(
    control: StdStream,
    unrecorded: bool,
) -> (tokio::sync::mpsc::UnboundedSender<EgressOrder>, Arc<Keeper>) {
    control.set_nonblocking(true).unwrap();
    let (mut up, mut down) = UnixStream::from_std(control).unwrap().into_split();
    let (orders, mut queue) = tokio::sync::mpsc::unbounded_channel::<EgressOrder>();
    let keeper = Arc::new(Keeper::default());
    tokio::spawn(async move {
        while let Some(order) = queue.recv().await {
            if down.write_all(&frame::encode(&order, 8 << 20).unwrap()).await.is_err() {
                return;
            }
        }
    });
    let (own, answers) = (keeper.clone(), orders.clone());
    tokio::spawn(async move {
        loop {
            let mut header = [0; 4];
            if up.read_exact(&mut header).await.is_err() {
                return;
            }
            let mut body = vec![0; frame::body_length(header, 256 << 10).unwrap()];
            up.read_exact(&mut body).await.unwrap();
            match frame::decode(&body).unwrap() {
                EgressReport::Ready { .. } => {}
                EgressReport::Event { draft, ticket } => {
                    own.events.lock().unwrap().push(*draft);
                    if let (Some(ticket), false) = (ticket, unrecorded) {
                        answers.send(EgressOrder::Recorded { ticket }).unwrap();
                    }
                }
                EgressReport::Bind { ticket, name, .. } => {
                    own.binds.lock().unwrap().push(name);
                    answers.send(EgressOrder::Bound { ticket }).unwrap();
                }
                EgressReport::PolicyApplied { revision, closed } => {
                    *own.applied.lock().unwrap() = Some((revision, closed));
                }
            }
            own.news.notify_waiters();
        }
    });
    (orders, keeper)
}
