//! Environment variables, and those that are ours to set.

use std::collections::BTreeMap;

use super::{
    Here,
    text::{self, Stands},
};
use crate::kit::{
    findings::Findings,
    merge::Placed,
    problem::{Code, Span, quoted},
    spanned::Spanned,
    wire::text::EnvName,
};

/// Variables that the guest sets itself: a file that changed one would break the way out, the trust in our CA, or
/// the programs that set them up.
const RESERVED: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "NODE_OPTIONS",
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_ENV_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
];
const RESERVED_PREFIXES: [&str; 2] = ["LD_", "COFFERDAM_"];

/// Reports a variable that is ours to set.
pub(super) fn refuse_reserved(name: &str, span: Span, findings: &mut Findings) {
    // Proxy variables are read in either case.
    let upper = name.to_ascii_uppercase();
    let proxy = upper.ends_with("_PROXY") && RESERVED.contains(&upper.as_str());
    let ours = RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if proxy || ours {
        let problem =
            findings.at(Code::WrongValue, span, format!("the variable {} is set by Cofferdam", quoted(name)));
        findings.push(problem.label("reserved").help("remove it; the sandbox sets what its programs need"));
    }
}

/// Resolves a document's variables.
pub(super) fn variables(
    written: &BTreeMap<EnvName, Spanned<String>>,
    here: &Here<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, Placed<String>> {
    let mut variables = BTreeMap::new();
    for (name, value) in written {
        refuse_reserved(&name.0, value.span, findings);
        text::refuse_variable(value, findings);
        text::refuse_nul(value, findings);
        let text = text::expressions(value, Stands::Value, findings);
        variables.insert(name.0.clone(), here.placed(text, value.span, findings));
    }
    variables
}
