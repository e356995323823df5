//! For code scanners: SARIF 2.1.0.

use serde_json::{Value, json};

use super::View;
use crate::{
    model::text::visible,
    plan::{Noted, Planned, Reason},
};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The plan's widenings, narrowings and what cannot be done as results.
#[must_use]
pub fn sarif(view: &View<'_>) -> Value {
    let results: Vec<Value> = view.loud().into_iter().flat_map(results).collect();
    let rule = |id: &str, text: &str| json!({ "id": id, "shortDescription": { "text": text } });
    let rules = [
        rule("grant", "The sandbox may do more than before"),
        rule("parked", "The file asks for more than is approved"),
        rule("rejected", "The file asks for what a person refused"),
        rule("narrow", "The sandbox may do less than before"),
        rule("create-only", "The field is fixed when a sandbox is made"),
    ];
    log(&rules, results)
}

/// A log of one run.
pub(super) fn log(rules: &[Value], results: Vec<Value>) -> Value {
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "cofferdam",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn results(step: &Planned) -> Vec<Value> {
    let many = |rule: &'static str, level: &'static str, words: &'static str, all: &[Noted]| -> Vec<Value> {
        let one = |noted: &Noted| {
            let why = if noted.why.is_empty() { String::new() } else { format!(" ({})", noted.why) };
            let text = format!("{} {words} {}{why}", step.name, noted.grant);
            let mut result = json!({
                "ruleId": rule,
                "level": level,
                "message": { "text": plain(&text) },
                "partialFingerprints": { "grant/v1": format!("{}: {}", step.name, visible(&noted.grant.to_string())) },
            });
            if let Some(file) = &noted.file {
                result["locations"] = location(file, noted.line, None);
            }
            result
        };
        all.iter().map(one).collect()
    };
    let mut results = many("grant", "warning", "may now", &step.grants);
    results.extend(many("parked", "warning", "asks for", &step.parked));
    let refused: Vec<Noted> = step.rejected.iter().map(|rejected| rejected.asked.clone()).collect();
    results.extend(many("rejected", "note", "asks for what was rejected:", &refused));
    results.extend(many("narrow", "note", "may no longer", &step.narrows));
    results.extend(step.reasons.iter().filter_map(|reason| match reason {
        Reason::CreateOnly { field } => Some(json!({
            "ruleId": "create-only",
            "level": "error",
            "message": { "text": plain(&format!("{}: {field} is fixed when the sandbox is made", step.name)) },
        })),
        _ => None,
    }));
    results
}

/// Text of a message: nothing of it is a link to elsewhere (SARIF 2.1.0, 3.11.6).
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for sign in visible(text).chars() {
        if matches!(sign, '\\' | '[' | ']') {
            plain.push('\\');
        }
        plain.push(sign);
    }
    plain
}

/// A place in a file: of the repository, or, where the path is absolute, elsewhere on this host.
pub(super) fn location(file: &str, line: Option<u32>, column: Option<u32>) -> Value {
    let mut place = match file.starts_with('/') {
        true => json!({ "artifactLocation": { "uri": format!("file://{}", uri(file)) } }),
        false => json!({ "artifactLocation": { "uri": uri(file), "uriBaseId": "%SRCROOT%" } }),
    };
    if let Some(line) = line {
        place["region"] = json!({ "startLine": line });
        if let Some(column) = column {
            place["region"]["startColumn"] = column.into();
        }
    }
    json!([{ "physicalLocation": place }])
}

/// A path as a relative reference (RFC 3986): everything but unreserved characters and slashes is encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
