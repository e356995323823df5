//! One stream of the guest, from its header to the code that answers or carries it.
//!
//! ```text
//! header ─▶ Dns ─────────────────────────────▶ dns
//!        ├▶ Proxy ─▶ proxy ─(CONNECT)─┐
//!        └▶ Tcp ─(address is a name)──┴▶ carry ─▶ decide on the connection ─▶ first bytes
//!                                                   ├ TLS  ▶ intercept ▶ http    (or relay, for `tls` rules)
//!                                                   ├ HTTP ▶ http
//!                                                   └ else ▶ relay (for `tcp` rules), or closed
//! ```
//! A denied connection goes the same way: `http` answers it with the reason.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    model::rule::{Protocol, Target},
    policy::{Decision, Reason, Request, Verdict, address::canonical, explain::place},
    wire::{StreamHeader, StreamKind, stream::HEADER_LENGTH},
};

use super::{
    audit::{Attempt, decided, deny},
    dns,
    faults::Check,
    http, intercept,
    io::{BoxIo, First, sniff},
    limits,
    open::{Allowed, Place},
    proxy,
    relay::relay,
    shared::Shared,
};

/// Port of the explicit proxy on the gateway's address.
pub(crate) const PROXY_PORT: u16 = 3128;

/// Whom a stream is for, and how it came to say so.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The name of the address, or the CONNECT authority.
    pub target: Target,
    /// The port.
    pub port: u16,
    /// `transparent` or `proxy`.
    pub client: &'static str,
}

impl Peer {
    /// The connection as an attempt.
    pub fn attempt(&self) -> Attempt {
        Attempt::new("net.connect", place(&self.target, self.port)).with("client", self.client)
    }
}

/// Serves one stream to its end, or until a policy forbids it.
pub(crate) async fn serve(shared: Arc<Shared>, stream: BoxIo) {
    let place = shared.open.enter();
    let entry = place.entry.clone();
    tokio::select! {
        biased;
        () = entry.end.notified() => {}
        () = begin(&shared, stream, &place) => {}
    }
}

async fn begin(shared: &Arc<Shared>, mut stream: BoxIo, open: &Place) {
    let mut bytes = [0; HEADER_LENGTH];
    match timeout(limits::HEADER_TIME, stream.read_exact(&mut bytes)).await {
        Ok(Ok(_)) => {}
        _ => return,
    }
    let Ok(header) = StreamHeader::decode(bytes) else { return };
    match header.kind {
        StreamKind::Dns => dns::serve(shared, stream).await,
        StreamKind::Proxy => proxy::serve(shared, stream, open).await,
        StreamKind::Tcp => tcp(shared, stream, header.destination, open).await,
    }
}

async fn tcp(shared: &Arc<Shared>, stream: BoxIo, destination: SocketAddr, open: &Place) {
    let spelled = shared.faults.skips(Check::Spelling);
    let address = if spelled { destination.ip() } else { canonical(destination.ip()) };
    let port = destination.port();
    if address == shared.names.gateway() && port == PROXY_PORT {
        return proxy::serve(shared, stream, open).await;
    }
    match meaning(shared, address) {
        Ok(target) => carry(shared, stream, Peer { target, port, client: "transparent" }, open).await,
        Err(code) => {
            let attempt =
                Attempt::new("net.connect", format!("{address}:{port}")).with("client", "transparent");
            report(shared, deny(&attempt, code, None)).await;
        }
    }
}

/// What an address stands for in this sandbox, or the code that says why it stands for nothing.
fn meaning(shared: &Shared, address: IpAddr) -> Result<Target, &'static str> {
    if address == shared.names.gateway() {
        // In a broken build the gateway is the host, as it is elsewhere.
        let host = || Target::Name("host.docker.internal".to_owned());
        return shared.faults.skips(Check::HostService).then(host).ok_or("host_service");
    }
    if !shared.names.covers(address) {
        return Ok(Target::Address(address));
    }
    match shared.names.name_of(address) {
        Some(name) => Ok(Target::Name(name)),
        None if shared.faults.skips(Check::NameBinding) => Ok(Target::Name("unbound.test".to_owned())),
        None => Err("no_name_binding"),
    }
}

/// Judges a connection and hands it to what speaks its protocol.
pub(crate) async fn carry(shared: &Arc<Shared>, stream: BoxIo, peer: Peer, open: &Place) {
    let decide =
        |protocol| shared.decide(&Request { target: &peer.target, port: peer.port, protocol, http: None });
    let allowed = |protocol| decide(protocol).allowed();
    let (raw, splice) = (allowed(Protocol::Tcp), allowed(Protocol::Tls));
    let (https, http) = (allowed(Protocol::Https), allowed(Protocol::Http));
    if raw && !splice && !https && !http {
        return pass(shared, stream, &peer, decide(Protocol::Tcp), Protocol::Tcp, open).await;
    }
    let Ok((first, stream)) = first_bytes(stream, raw || splice || https || http, peer.port).await else {
        let decision = decide(Protocol::Tcp);
        if raw {
            // Silence on a connection that may also be a server-first protocol cannot be told from a slow client.
            tracing::debug!("no first bytes");
        }
        return closed(shared, &peer, &decision, "protocol_unknown").await;
    };
    match first {
        First::Tls if https || !(splice || raw) => {
            open.entry.set(https.then(|| admitted(&peer, Protocol::Https)));
            intercept::serve(shared, stream, peer, open).await;
        }
        First::Tls if splice => {
            let decision = decide(Protocol::Tls);
            intercept::splice(shared, stream, peer, decision, open).await;
        }
        First::Http if http || !raw => {
            open.entry.set(http.then(|| admitted(&peer, Protocol::Http)));
            http::serve(shared, stream, http::Front::new(peer, Protocol::Http), open).await;
        }
        First::Closed if raw || splice || https || http => {}
        First::Closed => closed(shared, &peer, &decide(usual(peer.port)), "no_rule").await,
        _ if raw => pass(shared, stream, &peer, decide(Protocol::Tcp), Protocol::Tcp, open).await,
        _ => closed(shared, &peer, &decide(usual(peer.port)), "protocol_unknown").await,
    }
}

/// Carries bytes without looking, when the decision holds a permit.
pub(crate) async fn pass(
    shared: &Arc<Shared>,
    stream: BoxIo,
    peer: &Peer,
    decision: Decision,
    protocol: Protocol,
    open: &Place,
) {
    let attempt = peer.attempt().with("protocol", protocol);
    match decision.verdict {
        Verdict::Allow(permit) => {
            open.entry.set(Some(admitted(peer, protocol)));
            relay(shared, stream, permit, &attempt).await;
        }
        Verdict::Deny { .. } => report(shared, decided(&attempt, &decision)).await,
    }
}

/// What a connection is allowed for before its first request.
pub(crate) fn admitted(peer: &Peer, protocol: Protocol) -> Allowed {
    Allowed { target: peer.target.clone(), port: peer.port, protocol, http: None }
}

/// Records a connection that ends here. `unknown` is the code when its name is allowed and its protocol is not.
async fn closed(shared: &Shared, peer: &Peer, decision: &Decision, unknown: &str) {
    let attempt = peer.attempt();
    let draft = match &decision.verdict {
        Verdict::Allow(_) => deny(&attempt, unknown, None),
        Verdict::Deny { reason: Reason::NoRule, .. } if matches!(peer.target, Target::Address(_)) => {
            deny(&attempt, address_code(peer), None)
        }
        // The port is open for another protocol, which is what the bytes were not.
        Verdict::Deny { reason: Reason::Protocol, .. } => deny(&attempt, unknown, None),
        Verdict::Deny { .. } => decided(&attempt, decision),
    };
    report(shared, draft).await;
}

/// A bare address on the transparent path was reached without asking for a name; through the proxy it was named.
pub(crate) fn address_code(peer: &Peer) -> &'static str {
    if peer.client == "transparent" { "no_name_binding" } else { "ip_literal" }
}

/// Reports an event of a stream that ends anyway.
pub(crate) async fn report(shared: &Shared, draft: crate::model::event::Draft) {
    if shared.control.event(draft).await.is_err() {
        tracing::debug!("the keeper is gone");
    }
}

async fn first_bytes(stream: BoxIo, allowed: bool, port: u16) -> Result<(First, BoxIo), Silent> {
    let patient = allowed || matches!(port, 80 | 443);
    let limit: Duration = if patient { limits::FIRST_BYTES_TIME } else { limits::DENIED_BYTES_TIME };
    match timeout(limit, sniff(stream)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) | Err(_) => Err(Silent),
    }
}

/// Nothing came in time.
struct Silent;

/// What is usually spoken on a port, to name the decision that is reported.
fn usual(port: u16) -> Protocol {
    if port == 80 { Protocol::Http } else { Protocol::Https }
}
