//! Answers to requests that are not forwarded, in words.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{
    Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    http::request::Parts,
};

use crate::{
    egress::{
        audit::{Attempt, failed, unreached},
        dial::DialError,
        inject::CredentialError,
        limits::DENIED_BODY_BYTES,
        session::address_code,
    },
    model::{
        event::Draft,
        parked::Idle,
        rule::{Layer, NetworkRule, Target},
    },
    policy::{Decision, Near, Reason, Verdict, explain::sentence},
};

use super::{
    denial::{Denial, propose, wants_json},
    forward::{ForwardError, ResponseBody},
    serve::Front,
    settle::Asked,
};

const BLOCKED: &str = "Blocked by sandbox policy";
const FAILED: &str = "Sandbox gateway";

/// A request that is answered instead of forwarded.
pub(super) struct Refusal {
    pub status: StatusCode,
    kind: &'static str,
    sentence: String,
    pub code: String,
    rule: Option<Arc<NetworkRule>>,
    advice: String,
}

impl Refusal {
    /// The policy, or a check beside it, blocks it.
    pub fn blocked(status: StatusCode, code: &str, sentence: impl Into<String>) -> Self {
        let (sentence, code) = (sentence.into(), code.to_owned());
        Self { status, kind: BLOCKED, sentence, code, rule: None, advice: String::new() }
    }

    /// The world's side failed.
    pub fn failed(code: &str, sentence: impl Into<String>) -> Self {
        Self { kind: FAILED, ..Self::blocked(StatusCode::BAD_GATEWAY, code, sentence) }
    }

    /// With advice.
    pub fn advised(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }
}

/// What the policy denies.
pub(super) fn denied(front: &Front, asked: &Asked, decision: &Decision) -> Refusal {
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
        Verdict::Deny { reason: Reason::Parked(idle), .. } => parked(*idle, &asked.place()),
        Verdict::Deny { near_miss: Some(Near::Grant(near)), .. } => {
            format!("The nearest rule is {} ({}).\n{}", near.id, near.pattern(), propose(&asked.place()))
        }
        _ => propose(&asked.place()),
    };
    let mut refusal =
        Refusal::blocked(StatusCode::FORBIDDEN, &code, sentence(decision, &place)).advised(advice);
    refusal.rule = rule;
    refusal
}

/// What to do about a rule that is not in force.
fn parked(idle: Idle, place: &str) -> String {
    match idle {
        Idle::Waits => {
            "The line is there already: do not propose it again. A person decides with `cofferdam pending` \
                        and `cofferdam approve` on the host; the next request after that passes."
                .to_owned()
        }
        Idle::Rejected => "A person has decided against it: do not propose it again.".to_owned(),
        Idle::Ended(_) => propose(place),
    }
}

/// What a credential in the request denies.
pub(super) fn credential(error: &CredentialError, asked: &Asked) -> Refusal {
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

/// What the world's side fails at.
pub(super) fn unreachable(error: &ForwardError, asked: &Asked) -> Refusal {
    let host = asked.place();
    if let ForwardError::Dial(DialError::Address(_, rule)) = error {
        let sentence = format!("rule {} closes the address that {host} resolves to", rule.id);
        let mut refusal = Refusal::blocked(StatusCode::FORBIDDEN, error.code(), sentence);
        refusal.rule = Some(Arc::new((**rule).clone()));
        return refusal;
    }
    let sentence = format!("{host}: {error}");
    Refusal::failed(error.code(), sentence)
        .advised("The policy allows this; the server or its network does not answer well.")
}

/// The event of that.
pub(super) fn unanswered(attempt: &Attempt, error: &ForwardError, granted: &NetworkRule) -> Draft {
    match error {
        ForwardError::Dial(error) => unreached(attempt, error, granted),
        ForwardError::Exchange(cause) => failed(&attempt.clone().with("cause", cause), error.code(), granted),
    }
}

/// The answer, after the request's body was read as far as it is small: a client that is still sending would not
/// read it.
pub(super) async fn answer(
    head: &Parts,
    body: Incoming,
    refusal: &Refusal,
    id: &str,
    close: bool,
) -> Response<ResponseBody> {
    let waits = head.headers.contains_key(header::EXPECT);
    let drained = !waits && !close && drain(body).await;
    let mut response = refused(wants_json(&head.headers), refusal, id);
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

/// The answer itself.
pub(super) fn refused(json: bool, refusal: &Refusal, id: &str) -> Response<ResponseBody> {
    let denial = Denial {
        status: refusal.status,
        kind: refusal.kind,
        sentence: refusal.sentence.clone(),
        code: &refusal.code,
        rule: refusal.rule.as_deref(),
        advice: refusal.advice.clone(),
        request: id,
    };
    denial.respond(json)
}
