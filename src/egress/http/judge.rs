//! One request: read strictly, judged, forwarded or answered.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{self, HeaderValue},
    http::request::Parts,
};
use tokio::sync::Mutex;

use crate::{
    egress::{
        audit::{allow, decided, deny, unreached},
        control::ControlLost,
        faults::Check,
        inject::{Use, drop_cookies},
        open::Entry,
        session::report,
        shared::Shared,
    },
    model::rule::Protocol,
    policy::{self, Permit, Reason, Verdict},
};

use super::{
    denial::wants_json,
    forward::{ForwardError, InFlight, Link, Outgoing, ResponseBody, WithoutTrailers},
    headers::{clean_request, clean_response, is_legible, legible},
    masked::Masked,
    refusal::{Refusal, answer, credential, denied, refused, unanswered, unreachable},
    serve::Front,
    settle::{Asked, host_text, request_id, settle},
};

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
    // No await stands between the decision and this: a new policy finds the request.
    let in_flight = InFlight::begin(&entry, asked.allowed(), !front.forward_proxy);
    let mut link = link.lock().await;
    let json = wants_json(&head.headers);
    match exchange(&shared, &mut link, &asked, permit, uses, head, body).await {
        Ok(response) => finish(&shared, &asked, response, in_flight).await,
        Err(refusal) => refused(json, &refusal, &id),
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
    let rule = permit.rule().clone();
    let ready = match link.ready(shared, permit, asked.protocol).await {
        Ok(ready) => ready,
        Err(error) => {
            report(shared, unanswered(&asked.attempt, &error, &rule)).await;
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
    shared.control.event(allow(&asked.attempt, "rule_allows", &rule)).await.map_err(lost)?;
    let mut request = outgoing(shared, asked, head, body);
    for used in &uses {
        let attempt = asked.attempt.clone().action("secret.use").with("secret", shared.secrets.name(used));
        let draft = allow(&attempt, "rule_allows", &rule);
        if shared.faults.skips(Check::Recorded) {
            shared.control.event(draft).await.map_err(lost)?;
        } else {
            shared.control.record(draft).await.map_err(lost)?;
        }
    }
    shared.secrets.inject(request.headers_mut(), &uses).map_err(|error| credential(&error, asked))?;
    match ready.send(shared, request).await {
        Ok(response) => Ok(response),
        Err(error) => {
            // The request has its event; what we refused of the world on the way is one of its own.
            if let ForwardError::Dial(cause) = &error {
                let connection = asked.attempt.clone().action("net.connect");
                report(shared, unreached(&connection, cause, &rule)).await;
            }
            Err(unreachable(&error, asked))
        }
    }
}

/// The request as it leaves, without its secrets.
fn outgoing(shared: &Shared, asked: &Asked, head: Parts, body: Incoming) -> Outgoing {
    let mut request = Request::new(WithoutTrailers::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = origin_form(shared, asked, &head.uri);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    let headers = request.headers_mut();
    clean_request(headers);
    let place = asked.place();
    let host = match place.rsplit_once(':') {
        Some((host, _)) if Protocol::default_for(asked.port) == Some(asked.protocol) => host,
        _ => &place,
    };
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    if shared.secrets.is_credentialed(&asked.target) {
        drop_cookies(headers);
        legible(headers);
    }
    request
}

/// What the guest gets of the world's answer.
async fn finish(
    shared: &Arc<Shared>,
    asked: &Asked,
    response: Response<Incoming>,
    in_flight: InFlight,
) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for another protocol: the request's Upgrade was not forwarded.
        report(shared, deny(&asked.attempt.clone().action("http.response"), "upstream_upgrade", None)).await;
        let refusal = Refusal::failed("upstream_upgrade", "the server switched protocols unasked");
        return refused(false, &refusal, &asked.id);
    }
    clean_response(&mut head.headers);
    if shared.secrets.is_credentialed(&asked.target) {
        drop_cookies(&mut head.headers);
    }
    let masker = shared.secrets.masker(&asked.target);
    if masker.is_some() && !is_legible(&head.headers) {
        let attempt = asked.attempt.clone().action("http.response");
        report(shared, deny(&attempt, "response_encoded", None)).await;
        let why = "the server compressed its answer unasked, so it cannot be searched for the secret";
        return refused(false, &Refusal::failed("response_encoded", why), &asked.id);
    }
    for secret in shared.secrets.mask(&mut head.headers) {
        let attempt = asked.attempt.clone().action("secret.use").with("secret", secret);
        report(shared, deny(&attempt, "secret_reflected", None)).await;
    }
    let body = WithoutTrailers::until_gone(body, in_flight);
    let body = match masker {
        Some(masker) => Masked::new(body, shared, masker, asked.attempt.clone()).boxed_unsync(),
        None => body.boxed_unsync(),
    };
    Response::from_parts(head, body)
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
