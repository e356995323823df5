//! Whom a request is for: every place in it that names a host must name the same.

use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
    http::request::Parts,
};

use crate::{
    egress::{audit::Attempt, faults::Check, open::Allowed, shared::Shared},
    model::rule::{Protocol, Target},
    policy::{
        self, Http, authority,
        explain::{place, resource},
        path,
    },
};

use super::{refusal::Refusal, serve::Front};

/// A request whose target is settled.
pub(super) struct Asked {
    pub target: Target,
    pub port: u16,
    pub protocol: Protocol,
    pub method: String,
    /// Canonical path; `None` when it is ambiguous.
    pub path: Option<String>,
    /// `r-…`, for the event and the answer.
    pub id: String,
    pub attempt: Attempt,
}

impl Asked {
    /// As the engine sees it.
    pub fn request(&self) -> policy::Request<'_> {
        let http = Http { method: &self.method, path: self.path.as_deref() };
        policy::Request { target: &self.target, port: self.port, protocol: self.protocol, http: Some(http) }
    }

    /// What its connection is allowed for while it is in flight.
    pub fn allowed(&self) -> Allowed {
        Allowed {
            target: self.target.clone(),
            port: self.port,
            protocol: self.protocol,
            http: Some((self.method.clone(), self.path.clone())),
        }
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        place(&self.target, self.port)
    }
}

/// Settles whom a request is for, and that every place in it that names a host names the same.
pub(super) fn settle(shared: &Shared, front: &Front, head: &Parts, id: &str) -> Result<Asked, Refusal> {
    let malformed = |why: &str| Refusal::blocked(StatusCode::BAD_REQUEST, "malformed_request", why);
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        let why = format!("{} is not available", head.method);
        return Err(Refusal::blocked(StatusCode::FORBIDDEN, "method_refused", why));
    }
    if head.headers.contains_key(header::UPGRADE) {
        let why = "upgrading to another protocol is not supported";
        return Err(Refusal::blocked(StatusCode::FORBIDDEN, "upgrade_unsupported", why));
    }
    let default_port = if front.protocol == Protocol::Http { 80 } else { 443 };
    let parse = |text: &str| authority::authority(text, Some(default_port)).ok();
    let host = parse(&host_text(head)).ok_or_else(|| malformed("the Host header is not a host name"))?;
    if let Some(own) = head.uri.authority() {
        let scheme = head.uri.scheme_str().unwrap_or_default();
        let expected = if front.protocol == Protocol::Http { "http" } else { "https" };
        if scheme != expected || parse(own.as_str()).as_ref() != Some(&host) {
            return Err(malformed("the request target and the Host header differ"));
        }
    } else if front.forward_proxy {
        return Err(malformed("a proxy needs CONNECT or an absolute http:// target"));
    }
    if !head.uri.path().starts_with('/') {
        return Err(malformed("the request target is not a path"));
    }
    let peer = (front.peer.target.clone(), front.peer.port);
    let (target, port) = if front.forward_proxy {
        host
    } else if host == peer || shared.faults.skips(Check::HostAgreement) {
        peer
    } else {
        let (host, own) = (place(&host.0, host.1), place(&peer.0, peer.1));
        let why = format!("Host {host} is not the host of this connection, {own}");
        return Err(Refusal::blocked(StatusCode::MISDIRECTED_REQUEST, "host_mismatch", why));
    };
    let path = path::canonical(head.uri.path());
    let method = head.method.as_str().to_owned();
    let request_path = head.uri.path();
    let path = if shared.faults.skips(Check::Path) { Some(request_path.to_owned()) } else { path };
    let mut asked = Asked {
        target,
        port,
        protocol: front.protocol,
        method,
        path,
        id: id.to_owned(),
        attempt: front.peer.attempt(),
    };
    let attempt = Attempt::new("http.request", resource(&asked.request()));
    let attempt =
        attempt.with("client", front.peer.client).with("protocol", front.protocol).with("request", id);
    asked.attempt = attempt.with("method", &asked.method).with("path", request_path);
    Ok(asked)
}

/// The Host field, for events when it is none.
pub(super) fn host_text(head: &Parts) -> String {
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    String::from_utf8_lossy(host).into_owned()
}

/// An id that the answer and the event share.
pub(super) fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is only less useful.
    let _zeros = getrandom::fill(&mut bytes);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("r-{digits}")
}
