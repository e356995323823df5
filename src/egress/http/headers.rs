//! Headers that end at this hop.

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

/// Hop-by-hop fields (RFC 9110, 7.6.1), and what older clients send beside them.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
];

/// Fields that a `Connection` field must not remove: they decide what a request means.
const KEPT: [&str; 6] =
    ["host", "content-length", "content-type", "authorization", "cookie", "content-encoding"];

/// Fields that make a server take a request for another than the one that was judged.
const OVERRIDES: [&str; 6] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-host",
];

/// Removes what a request must not carry further.
pub(super) fn clean_request(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    for name in OVERRIDES {
        headers.remove(name);
    }
}

/// Removes what a response must not carry further: hop-by-hop fields, offers of other protocols, and fields that
/// are ours, so that our answers are always told from theirs.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(header::ALT_SVC);
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("cofferdam-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Asks for an answer that can be read: uncompressed, and whole, since a value could be cut in two by ranges. A server
/// may ignore both fields at any time (RFC 9110, 12.5.3 and 14.2), so no client relies on them.
pub(super) fn legible(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
}

/// Whether an answer came uncompressed.
pub(super) fn is_legible(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().to_ascii_lowercase().parse().ok())
        .filter(|name: &HeaderName| !KEPT.contains(&name.as_str()))
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
