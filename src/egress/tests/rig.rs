//! The rig: a guest's side of the streams, with a keeper behind it and a world before it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    keeper::{Keeper, keep},
    plan::{CANARY, Plan},
    world::{Scripted, origin_tls},
};
use crate::{
    egress::{
        Authority, Handles,
        dial::{Internet, World},
        faults::Faults,
        serve,
    },
    model::{
        api::{self, EgressOrder, EgressSetup, PolicyRevision, Upstream},
        event::{Decision, Draft},
        redacted::Redacted,
        rule::NetworkRule,
    },
    sys::handoff,
    wire::{StreamHeader, StreamKind, port},
};

/// Everything together.
pub struct Rig {
    streams: OwnedFd,
    pub keeper: Arc<Keeper>,
    pub world: Arc<Scripted>,
    orders: mpsc::UnboundedSender<EgressOrder>,
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
                ..PolicyRevision::default()
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
        self.order_stage(revision, rules, false);
    }

    /// A policy as it is, what is not in force included.
    pub fn order(&self, policy: PolicyRevision) {
        self.orders.send(EgressOrder::Policy(policy)).unwrap();
    }

    pub fn order_stage(&self, revision: u64, rules: Vec<NetworkRule>, setup: bool) {
        let policy = PolicyRevision { revision, hash: "h".into(), rules, setup, ..PolicyRevision::default() };
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
