//! The one shape of a denial: a reason phrase for clients that show nothing else, headers for programs, a text for
//! agents and people.

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    ext::ReasonPhrase,
    header::{self, HeaderValue},
};
use serde_json::json;

use crate::model::rule::{Layer, NetworkRule};

use super::forward::ResponseBody;

/// Longest reason phrase, in bytes.
const PHRASE_MAX: usize = 120;

/// A denial, or a failure that is answered like one.
#[derive(Debug)]
pub(super) struct Denial<'a> {
    /// 403, 421, 400, 502, 503.
    pub status: StatusCode,
    /// `Blocked by sandbox policy`, or what else this is.
    pub kind: &'static str,
    /// One sentence without a full stop.
    pub sentence: String,
    /// The stable reason code.
    pub code: &'a str,
    /// The rule, when one denies.
    pub rule: Option<&'a NetworkRule>,
    /// What to do, a sentence or more.
    pub advice: String,
    /// Id of the request, in the event too.
    pub request: &'a str,
}

/// Advice after a denial for which a rule would help.
pub(super) fn propose(pattern: &str) -> String {
    format!(
        "If the task needs it, propose this line under spec.network.rules of sandbox.yaml, and a person will \
         decide:\n  - {{allow: \"{pattern}\", why: \"...\"}}"
    )
}

impl Denial<'_> {
    /// The response, as text or as JSON.
    pub fn respond(&self, json: bool) -> Response<ResponseBody> {
        let body = if json { self.json() } else { self.text() };
        let mut response =
            Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = self.status;
        let phrase = printable(&format!("{}: {}", self.kind, self.sentence));
        if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
            response.extensions_mut().insert(phrase);
        }
        let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let decision = if self.status == StatusCode::BAD_GATEWAY { "error" } else { "deny" };
        headers.insert("cofferdam-decision", HeaderValue::from_static(decision));
        let rule = printable(self.rule.map_or(self.code, |rule| &rule.id));
        for (name, value) in [("cofferdam-rule", rule.as_str()), ("cofferdam-request", self.request)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        response
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}.\n", self.kind, self.sentence);
        if let Some(rule) = self.rule {
            text.push_str(&format!("Rule {} ({}): {}\n", rule.id, place(rule), rule.why));
        }
        if self.status != StatusCode::BAD_GATEWAY {
            text.push_str(
                "This is deliberate. Every route out of this sandbox is judged the same way, so do not retry and do \
                 not look for another one.\n",
            );
        }
        if !self.advice.is_empty() {
            text.push_str(&self.advice);
            text.push('\n');
        }
        text.push_str(&format!("Request {} ({}).\n", self.request, self.code));
        text
    }

    fn json(&self) -> String {
        let rule = self.rule.map(
            |rule| json!({"id": rule.id, "layer": rule.origin.layer, "place": place(rule), "why": rule.why}),
        );
        let body = json!({
            "error": {
                "message": format!("{}: {}.", self.kind, self.sentence),
                "reason": self.code,
                "rule": rule,
                "advice": self.advice,
                "request": self.request,
                "deliberate": self.status != StatusCode::BAD_GATEWAY,
            }
        });
        format!("{body}\n")
    }
}

/// Where a rule stands: file and line for files of the workspace only.
fn place(rule: &NetworkRule) -> String {
    match (&rule.origin.file, rule.origin.line) {
        (Some(file), Some(line)) if rule.origin.layer == Layer::Repository => format!("{file}:{line}"),
        (Some(file), None) if rule.origin.layer == Layer::Repository => file.clone(),
        _ => rule.origin.layer.to_string(),
    }
}

/// Whether a client asks for JSON explicitly.
pub(super) fn wants_json(asked: &HeaderMap) -> bool {
    let accepts = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepts.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn printable(text: &str) -> String {
    let shown = text.chars().map(|character| if (' '..='~').contains(&character) { character } else { '?' });
    shown.take(PHRASE_MAX).collect()
}
