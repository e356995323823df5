//! TLS of the guest: opened with a leaf for the one name that the connection is for.

use std::sync::Arc;

use rustls::server::{Accepted, Acceptor};
use tokio::{io::AsyncReadExt, time::timeout};
use tokio_rustls::StartHandshake;

use crate::{
    model::rule::{Protocol, Target},
    policy::{Decision, Request, Verdict},
};

use super::{
    audit::{decided, deny},
    faults::Check,
    http,
    io::{BoxIo, Prefixed},
    limits::{HANDSHAKE_TIME, HELLO_BYTES},
    open::Place,
    session::{Peer, address_code, pass, report},
    shared::Shared,
};

/// Opens TLS and serves HTTP in it, the denial included.
pub(crate) async fn serve(shared: &Arc<Shared>, stream: BoxIo, peer: Peer, open: &Place) {
    let decision = decide(shared, &peer, Protocol::Https);
    let Some(hello) = read(shared, stream, &peer, &decision).await else { return };
    let denied = !decision.allowed();
    let leaf = match shared.leaves.config(&leaf_name(&peer, &hello), denied) {
        Ok(leaf) => leaf,
        Err(error) => {
            let attempt = peer.attempt().with("cause", error);
            let rule = decision.rule().cloned();
            return report(shared, deny(&attempt, "denied_rate", rule.as_deref())).await;
        }
    };
    let stream: BoxIo = Box::new(Prefixed::new(hello.rest, hello.stream));
    let handshake = StartHandshake::from_parts(hello.accepted, stream).into_stream(leaf);
    match timeout(HANDSHAKE_TIME, handshake).await {
        Ok(Ok(stream)) => {
            let mut front = http::Front::new(peer, Protocol::Https);
            front.sni = hello.sni;
            http::serve(shared, Box::new(stream), front, open).await;
        }
        Ok(Err(error)) => {
            let attempt = peer.attempt().with("protocol", "tls").with("cause", &error);
            let draft =
                if denied { decided(&attempt, &decision) } else { deny(&attempt, refusal(&error), None) };
            report(shared, draft).await;
        }
        Err(_) => report(shared, deny(&peer.attempt().with("protocol", "tls"), "tls_handshake", None)).await,
    }
}

/// Passes TLS through unopened, after its SNI was checked.
pub(crate) async fn splice(
    shared: &Arc<Shared>,
    stream: BoxIo,
    peer: Peer,
    decision: Decision,
    open: &Place,
) {
    let Some(hello) = read(shared, stream, &peer, &decision).await else { return };
    let stream = Box::new(Prefixed::new(hello.bytes, hello.stream));
    // Decided again: the policy may have changed while the client was slow.
    let decision = decide(shared, &peer, Protocol::Tls);
    pass(shared, stream, &peer, decision, Protocol::Tls, open).await;
}

pub(super) struct Hello {
    accepted: Accepted,
    /// Every byte of it as it came.
    bytes: Vec<u8>,
    /// Bytes that came after it.
    rest: Vec<u8>,
    pub(super) sni: Option<String>,
    stream: BoxIo,
}

/// Reads the ClientHello and holds its SNI against the connection's name; what does not agree ends here.
async fn read(shared: &Shared, stream: BoxIo, peer: &Peer, decision: &Decision) -> Option<Hello> {
    let hello = match timeout(HANDSHAKE_TIME, parse(stream)).await {
        Ok(Some(hello)) => hello,
        _ => {
            let attempt = peer.attempt().with("protocol", "tls");
            let draft = match &decision.verdict {
                Verdict::Allow(_) => deny(&attempt, "protocol_unknown", None),
                Verdict::Deny { .. } => decided(&attempt, decision),
            };
            report(shared, draft).await;
            return None;
        }
    };
    let Some(sni) = &hello.sni else { return Some(hello) };
    let attempt = peer.attempt().with("protocol", "tls").with("sni", sni);
    let code = match &peer.target {
        Target::Name(name) if sni.eq_ignore_ascii_case(name) => return Some(hello),
        Target::Name(_) if shared.faults.skips(Check::Sni) => return Some(hello),
        Target::Name(_) => "sni_mismatch",
        // A name on an address that was never handed out for it.
        Target::Address(_) if decision.allowed() => "sni_mismatch",
        Target::Address(_) => address_code(peer),
    };
    let floor = matches!(&decision.verdict, Verdict::Deny { rule: Some(_), .. });
    let draft = if floor { decided(&attempt, decision) } else { deny(&attempt, code, None) };
    report(shared, draft).await;
    None
}

pub(super) async fn parse(mut stream: BoxIo) -> Option<Hello> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > HELLO_BYTES {
            return None;
        }
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest).ok()?;
            if let Some(accepted) = acceptor.accept().ok()? {
                let sni = accepted.client_hello().server_name().map(str::to_owned);
                return Some(Hello { accepted, bytes, rest: rest.to_vec(), sni, stream });
            }
        }
    }
}

fn decide(shared: &Shared, peer: &Peer, protocol: Protocol) -> Decision {
    shared.decide(&Request { target: &peer.target, port: peer.port, protocol, http: None })
}

/// The leaf is for the connection's name; only a broken build would take the client's word.
fn leaf_name(peer: &Peer, hello: &Hello) -> Target {
    match (&peer.target, &hello.sni) {
        (Target::Name(_), Some(sni)) => Target::Name(sni.to_ascii_lowercase()),
        (target, _) => target.clone(),
    }
}

/// A client that pins its server's certificate says so in its alert.
fn refusal(error: &std::io::Error) -> &'static str {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match alert {
        Some(rustls::Error::AlertReceived(_)) => "tls_client_rejected_ca",
        _ => "tls_handshake",
    }
}
