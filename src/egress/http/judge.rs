//! One request: read strictly, judged, forwarded or answered.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    http::request::Parts,
};
use tokio::sync::Mutex;

use crate::{
    egress::{
        audit::{Attempt, allow, decided, deny},
        control::ControlLost,
        dial::DialError,
        faults::Check,
        inject::{CredentialError, Use, drop_cookies},
        limits::DENIED_BODY_BYTES,
        open::{Allowed, Entry},
        session::{address_code, report},
        shared::Shared,
    },
    model::rule::{Layer, NetworkRule, Protocol, Target},
    policy::{
        self, Decision, Http, Permit, Reason, Verdict, authority,
        explain::{place, resource, sentence},
        path,
    },
};

use super::{
    denial::{Denial, propose},
    forward::{ForwardError, InFlight, Link, ResponseBody, WithoutTrailers},
    headers::{clean_request, clean_response},
    serve::Front,
};

const BLOCKED: &str = "Blocked by sandbox policy";
const FAILED: &str = "Sandbox gateway";

/// A request whose target is settled.
struct Asked {
    target: Target,
    port: u16,
    protocol: Protocol,
    method: String,
    /// Canonical path; `None` when it is ambiguous.
    path: Option<String>,
    /// `r-…`, for the event and the answer.
    id: String,
    attempt: Attempt,
}

impl Asked {
    fn request(&self) -> policy::Request<'_> {
        let http = Http { method: &self.method, path: self.path.as_deref() };
        policy::Request { target: &self.target, port: self.port, protocol: self.protocol, http: Some(http) }
    }

    fn place(&self) -> String {
        place(&self.target, self.port)
    }
}

/// A request that is answered instead of forwarded.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    sentence: String,
    code: String,
    rule: Option<Arc<NetworkRule>>,
    advice: String,
}

impl Refusal {
    fn blocked(status: StatusCode, code: &str, sentence: impl Into<String>) -> Self {
        let (sentence, code) = (sentence.into(), code.to_owned());
        Self { status, kind: BLOCKED, sentence, code, rule: None, advice: String::new() }
    }

    fn advised(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }
}

/// Answers one request.
pub(super) async fn judge(
    shared: Arc<Shared>,
    front: Arc<Front>,
    link: Arc<Mutex<Link>>,
    entry: Arc<Entry>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let id = request_id();
    let (head, body) = request.into_parts();
    let asked = match settle(&shared, &front, &head, &id) {
        Ok(asked) => asked,
        Err(refusal) => {
            let attempt = front.peer.attempt().action("http.request").with("request", &id);
            let attempt = attempt.with("method", &head.method).with("host", host_text(&head));
            report(&shared, deny(&attempt, &refusal.code, None)).await;
            let close = refusal.status == StatusCode::BAD_REQUEST;
            return answer(&head, body, &refusal, &id, close).await;
        }
    };
    // In a broken build only the first request of a connection is judged.
    let decision = if shared.faults.skips(Check::PerRequest) {
        let first = policy::Request { http: None, ..asked.request() };
        shared.decide(&first)
    } else {
        shared.decide(&asked.request())
    };
    let permit = match decision.verdict {
        Verdict::Allow(permit) => permit,
        Verdict::Deny { .. } => {
            let refusal = denied(&front, &asked, &decision);
            let draft = match &decision.verdict {
                Verdict::Deny { reason: Reason::NoRule, .. } => deny(&asked.attempt, &refusal.code, None),
                _ => decided(&asked.attempt, &decision),
            };
            report(&shared, draft).await;
            return answer(&head, body, &refusal, &id, false).await;
        }
    };
    let tls = asked.protocol == Protocol::Https;
    let uses = match shared.secrets.inspect(&head, &asked.target, asked.port, tls) {
        Ok(uses) => uses,
        Err(error) => {
            report(&shared, deny(&asked.attempt, error.code(), None)).await;
            return answer(&head, body, &credential(&error, &asked), &id, false).await;
        }
    };
    let state = Allowed {
        target: asked.target.clone(),
        port: asked.port,
        protocol: asked.protocol,
        http: Some((asked.method.clone(), asked.path.clone())),
    };
    let in_flight = InFlight::begin(&entry, state, !front.forward_proxy);
    let mut link = link.lock().await;
    let asked_headers = head.headers.clone();
    match exchange(&shared, &mut link, &asked, permit, uses, head, body).await {
        Ok(response) => finish(&shared, &asked, response, in_flight).await,
        Err(refusal) => refused(&asked_headers, &refusal, &id),
    }
}

/// Readies the connection, records, injects, sends.
async fn exchange(
    shared: &Shared,
    link: &mut Link,
    asked: &Asked,
    permit: Permit,
    uses: Vec<Use>,
    head: Parts,
    body: Incoming,
) -> Result<Response<Incoming>, Refusal> {
    let ready = match link.ready(shared, permit, asked.protocol).await {
        Ok(ready) => ready,
        Err(error) => {
            report(shared, failed(&asked.attempt, &error)).await;
            return Err(unreachable(&error, asked));
        }
    };
    let lost = |_: ControlLost| {
        Refusal::blocked(
            StatusCode::SERVICE_UNAVAILABLE,
            "audit_lost",
            "nothing passes while it cannot be recorded",
        )
    };
    let rule = ready.permit().rule();
    shared.control.event(allow(&asked.attempt, "rule_allows", rule)).await.map_err(lost)?;
    let mut request = Request::new(WithoutTrailers::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = origin_form(shared, asked, &head.uri);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    let headers = request.headers_mut();
    clean_request(headers);
    let host = if Protocol::default_for(asked.port) == Some(asked.protocol) {
        asked.place().rsplit_once(':').map(|(host, _)| host.to_owned()).unwrap_or_default()
    } else {
        asked.place()
    };
    if let Ok(host) = HeaderValue::from_str(&host) {
        headers.insert(header::HOST, host);
    }
    if shared.secrets.is_credentialed(&asked.target) {
        drop_cookies(headers);
    }
    for used in &uses {
        let attempt = asked.attempt.clone().action("secret.use").with("secret", shared.secrets.name(used));
        let draft = allow(&attempt, "rule_allows", rule);
        if shared.faults.skips(Check::Recorded) {
            shared.control.event(draft).await.map_err(lost)?;
        } else {
            shared.control.record(draft).await.map_err(lost)?;
        }
    }
    shared.secrets.inject(headers, &uses).map_err(|error| credential(&error, asked))?;
    ready.send(shared, request).await.map_err(|error| unreachable(&error, asked))
}

/// What the guest gets of the world's answer.
async fn finish(
    shared: &Shared,
    asked: &Asked,
    response: Response<Incoming>,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for another protocol: the request's Upgrade was not forwarded.
        report(shared, deny(&asked.attempt, "upstream_upgrade", None)).await;
        let refusal = Refusal {
            kind: FAILED,
            ..Refusal::blocked(
                StatusCode::BAD_GATEWAY,
                "upstream_upgrade",
                "the server switched protocols unasked",
            )
        };
        return refused(&hyper::HeaderMap::new(), &refusal, &asked.id);
    }
    clean_response(&mut head.headers);
    if shared.secrets.is_credentialed(&asked.target) {
        drop_cookies(&mut head.headers);
    }
    for secret in shared.secrets.mask(&mut head.headers) {
        let attempt = asked.attempt.clone().action("secret.use").with("secret", secret);
        report(shared, deny(&attempt, "secret_reflected", None)).await;
    }
    Response::from_parts(head, WithoutTrailers::until_gone(body, in_flight).boxed_unsync())
}

/// Settles whom a request is for, and that every place in it that names a host names the same.
fn settle(shared: &Shared, front: &Front, head: &Parts, id: &str) -> Result<Asked, Refusal> {
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

fn host_text(head: &Parts) -> String {
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    String::from_utf8_lossy(host).into_owned()
}

/// The target that goes upstream: the path as it was judged, the query as it came.
fn origin_form(shared: &Shared, asked: &Asked, uri: &Uri) -> Uri {
    let path = match &asked.path {
        Some(path) if !shared.faults.skips(Check::Path) => path.as_str(),
        _ => uri.path(),
    };
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    text.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

fn denied(front: &Front, asked: &Asked, decision: &Decision) -> Refusal {
    let place = asked.place();
    let bare_address = matches!(asked.target, Target::Address(_));
    let no_rule = matches!(decision.verdict, Verdict::Deny { reason: Reason::NoRule, .. });
    let code = match (bare_address && no_rule, &front.sni) {
        (true, Some(_)) => address_code(&front.peer).to_owned(),
        (true, None) => "ip_literal".to_owned(),
        (false, _) => decision.code(),
    };
    let rule = decision.rule().cloned();
    let advice = match &decision.verdict {
        Verdict::Deny { reason: Reason::ApprovalRequired, .. } => {
            "A person has to answer before this passes.".to_owned()
        }
        Verdict::Deny { reason: Reason::Floor, .. } => "No rule can allow this.".to_owned(),
        Verdict::Deny { reason: Reason::RuleDenies, rule: Some(rule), .. }
            if rule.origin.layer == Layer::Organisation =>
        {
            "The organisation's policy decides this; no rule of this sandbox changes it.".to_owned()
        }
        Verdict::Deny { reason: Reason::RuleDenies, .. } => {
            "Only removing that rule changes this.".to_owned()
        }
        Verdict::Deny { near_miss: Some(near), .. } => {
            format!("The nearest rule is {} ({}).\n{}", near.id, near.pattern(), propose(&pattern(asked)))
        }
        _ => propose(&pattern(asked)),
    };
    let mut refusal =
        Refusal::blocked(StatusCode::FORBIDDEN, &code, sentence(decision, &place)).advised(advice);
    refusal.rule = rule;
    refusal
}

fn pattern(asked: &Asked) -> String {
    asked.place()
}

fn credential(error: &CredentialError, asked: &Asked) -> Refusal {
    let host = asked.place();
    let (status, sentence, advice) = match error {
        CredentialError::Foreign { place } => (
            StatusCode::FORBIDDEN,
            format!("{place} holds a credential that is not this sandbox's, for {host}"),
            "Use the variable of the environment that holds the placeholder; the gateway puts the secret in."
                .to_owned(),
        ),
        CredentialError::Misuse { secret } => (
            StatusCode::FORBIDDEN,
            format!("the placeholder of secret {secret} does not belong in this request to {host}"),
            "A secret goes only into its own header, over TLS, to the host that it is bound to.".to_owned(),
        ),
        CredentialError::Missing { secret } => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("secret {secret} has no value on this host"),
            format!("A person has to set it: cofferdam secret set {secret}"),
        ),
    };
    Refusal::blocked(status, error.code(), sentence).advised(advice)
}

fn unreachable(error: &ForwardError, asked: &Asked) -> Refusal {
    let host = asked.place();
    if let ForwardError::Dial(DialError::Address(_, rule)) = error {
        let sentence = format!("rule {} closes the address that {host} resolves to", rule.id);
        let mut refusal = Refusal::blocked(StatusCode::FORBIDDEN, error.code(), sentence);
        refusal.rule = Some(Arc::new((**rule).clone()));
        return refusal;
    }
    let sentence = format!("{host}: {error}");
    let refusal = Refusal::blocked(StatusCode::BAD_GATEWAY, error.code(), sentence);
    Refusal { kind: FAILED, ..refusal }
        .advised("The policy allows this; the server or its network does not answer well.")
}

fn failed(attempt: &Attempt, error: &ForwardError) -> crate::model::event::Draft {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let rule = match error {
        ForwardError::Dial(DialError::Address(_, rule)) => Some(&**rule),
        _ => None,
    };
    deny(&attempt.clone().with("cause", cause), error.code(), rule)
}

/// The answer, after the request's body was read as far as it is small: a client that is still sending would not
/// read it.
async fn answer(
    head: &Parts,
    body: Incoming,
    refusal: &Refusal,
    id: &str,
    close: bool,
) -> Response<ResponseBody> {
    let waits = head.headers.contains_key(header::EXPECT);
    let drained = !waits && !close && drain(body).await;
    let mut response = refused(&head.headers, refusal, id);
    if !drained {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn drain(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > DENIED_BODY_BYTES {
            return false;
        }
    }
    true
}

fn refused(asked: &hyper::HeaderMap, refusal: &Refusal, id: &str) -> Response<ResponseBody> {
    let denial = Denial {
        status: refusal.status,
        kind: refusal.kind,
        sentence: refusal.sentence.clone(),
        code: &refusal.code,
        rule: refusal.rule.as_deref(),
        advice: refusal.advice.clone(),
        request: id,
    };
    denial.respond(asked)
}

fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is only less useful.
    let _zeros = getrandom::fill(&mut bytes);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("r-{digits}")
}
