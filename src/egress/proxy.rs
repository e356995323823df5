//! The explicit proxy: `CONNECT`, and absolute-form requests for plain HTTP.
//!
//! A denied CONNECT is accepted and the denial given inside: clients show nobody the answer to CONNECT itself.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    model::rule::{Protocol, Target},
    policy::authority,
};

use super::{
    audit::{Attempt, deny},
    faults::Check,
    http::{self, head},
    io::{BoxIo, Prefixed},
    limits::{HEAD_BYTES, HEADER_TIME},
    open::Place,
    session::{Peer, carry, report},
    shared::Shared,
};

/// Serves one connection to the proxy.
pub(crate) async fn serve(shared: &Arc<Shared>, mut stream: BoxIo, open: &Place) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = head::head_end(&bytes) {
            break Some(end);
        }
        let mut chunk = [0; 4096];
        match timeout(HEADER_TIME, stream.read(&mut chunk)).await {
            Ok(Ok(count)) if count > 0 && bytes.len() + count <= HEAD_BYTES => {
                bytes.extend_from_slice(&chunk[..count])
            }
            // The guard in `http` answers what is too long or has ended.
            _ => break None,
        }
    };
    let connect = end.filter(|_| bytes.starts_with(b"CONNECT "));
    let Some(end) = connect else {
        if bytes.is_empty() {
            return;
        }
        let target = Target::Name(crate::policy::floor::GATEWAY.to_owned());
        let peer = Peer { target, port: super::session::PROXY_PORT, client: "proxy" };
        let front = http::Front { forward_proxy: true, ..http::Front::new(peer, Protocol::Http) };
        let stream = Box::new(Prefixed::new(bytes, stream));
        return http::serve(shared, stream, front, open).await;
    };
    let rest = bytes.split_off(end);
    match parse(&bytes, shared) {
        Some((target, port)) => {
            if stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_err() {
                return;
            }
            let stream = Box::new(Prefixed::new(rest, stream));
            carry(shared, stream, Peer { target, port, client: "proxy" }, open).await;
        }
        None => {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let attempt = Attempt::new("net.connect", String::from_utf8_lossy(line).into_owned());
            report(shared, deny(&attempt.with("client", "proxy"), "malformed_authority", None)).await;
            let _gone = stream
                .write_all(head::bad_request("CONNECT needs one unambiguous host:port").as_bytes())
                .await;
            let _closed = stream.shutdown().await;
        }
    }
}

/// The authority of a CONNECT head. Its Host header, when there is one, must be the same.
fn parse(head: &[u8], shared: &Shared) -> Option<(Target, u16)> {
    if shared.faults.skips(Check::Authority) {
        return lenient(head);
    }
    let head = head::parse_head(head).ok()?;
    if shared.faults.skips(Check::Spelling) {
        return verbatim(&head.target);
    }
    let (target, port) = authority::authority(&head.target, None).ok()?;
    let agrees = match &head.host {
        // HTTP/1.0 has no Host; Python's client speaks it to proxies.
        None => head.minor == 0,
        // Some clients leave the port out of Host.
        Some(host) => authority::authority(host, Some(port)).is_ok_and(|own| own == (target.clone(), port)),
    };
    agrees.then_some((target, port))
}

/// What a careless proxy makes of a CONNECT: whatever stands behind the last `@`, less percent signs and spaces.
fn lenient(head: &[u8]) -> Option<(Target, u16)> {
    let text = String::from_utf8_lossy(head);
    let authority = text.split(' ').nth(1)?.rsplit('@').next()?.to_owned();
    let host: String = authority.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    Some((Target::Name(host), 443))
}

/// What a proxy makes of a CONNECT that leaves the recognition of addresses to its resolver.
fn verbatim(authority: &str) -> Option<(Target, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    Some((Target::Name(host.to_owned()), port.parse().ok()?))
}

/// For fuzzing: a CONNECT head as it is judged.
#[must_use]
pub fn connect_authority(head: &[u8]) -> Option<(Target, u16)> {
    let head = head::parse_head(head).ok()?;
    authority::authority(&head.target, None).ok()
}
