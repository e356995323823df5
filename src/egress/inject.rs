//! Secrets: a placeholder in the bound header of a request to the bound host becomes the value, and nowhere else.
//!
//! Two steps, so that nothing is put in before the upstream's certificate is verified and the use is recorded:
//! [`Secrets::inspect`] reads a request, [`Secrets::inject`] changes it. A host that has a secret of ours accepts no
//! other credential: a foreign key on an allowed host is a way out for data.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
    http::request,
};

use crate::model::{api::EgressSecret, redacted::Redacted, rule::Target, secret::Injection};

use super::{
    EgressError,
    faults::{Check, Faults},
    reflect::{Masker, Spelling, spellings},
};

/// Headers that carry credentials, besides those that a secret is bound to.
const CREDENTIAL_HEADERS: [&str; 12] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "private-token",
    "job-token",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-github-token",
    "x-gitlab-token",
];

/// Query parameters that carry credentials.
const CREDENTIAL_PARAMETERS: [&str; 8] =
    ["key", "api_key", "api-key", "apikey", "access_token", "private_token", "x-amz-signature", "sig"];

/// Why a request's credentials do not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CredentialError {
    /// Somebody else's credential for a host that has ours.
    Foreign {
        /// Where it stands.
        place: String,
    },
    /// A placeholder where it is not bound.
    Misuse {
        /// The secret's name.
        secret: String,
    },
    /// The operator has given no value.
    Missing {
        /// The secret's name.
        secret: String,
    },
}

impl CredentialError {
    /// The stable reason code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "foreign_credential",
            Self::Misuse { .. } => "placeholder_misuse",
            Self::Missing { .. } => "secret_missing",
        }
    }
}

/// One value to be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    secret: usize,
    header: HeaderName,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// The binding's format.
    Format(String),
    /// `Basic`: the decoded pair, in which the placeholder is replaced.
    Basic(String),
}

struct Secret {
    name: String,
    placeholder: String,
    inject: Vec<Injection>,
    value: Option<Redacted>,
}

/// The sandbox's secrets. The only holder of their values.
pub(crate) struct Secrets {
    all: Vec<Secret>,
    spellings: Arc<[Spelling]>,
    faults: Faults,
}

impl Secrets {
    /// Bindings and values in the same order.
    pub fn new(
        bindings: Vec<EgressSecret>,
        values: Vec<Option<Redacted>>,
        faults: Faults,
    ) -> Result<Self, EgressError> {
        if bindings.len() != values.len() {
            return Err(EgressError::Secrets { bindings: bindings.len(), values: values.len() });
        }
        let all = bindings.into_iter().zip(values).map(|(bound, value)| Secret {
            name: bound.binding.name,
            placeholder: bound.placeholder,
            inject: bound.binding.inject,
            value: value.filter(|_| bound.present),
        });
        // An empty placeholder would be found everywhere.
        let all: Vec<Secret> = all.filter(|secret| !secret.placeholder.is_empty()).collect();
        let known = |(index, secret): (usize, &Secret)| {
            let value = secret.value.as_ref().map(Redacted::expose).unwrap_or_default();
            spellings(index, value, &secret.placeholder)
        };
        let spellings = all.iter().enumerate().flat_map(known).collect();
        Ok(Self { all, spellings, faults })
    }

    /// Name of a use's secret, for its event.
    pub fn name(&self, used: &Use) -> &str {
        &self.all[used.secret].name
    }

    /// Reads a request's head. `verified_tls`: it will go over TLS that egress opened to this target.
    ///
    /// # Errors
    /// When a credential in it must not go there.
    pub fn inspect(
        &self,
        head: &request::Parts,
        target: &Target,
        port: u16,
        verified_tls: bool,
    ) -> Result<Vec<Use>, CredentialError> {
        let Target::Name(host) = target else { return self.scan(head, &[]).map(|()| Vec::new()) };
        let mut uses: Vec<Use> = Vec::new();
        for (name, value) in &head.headers {
            if let Some(used) = self.placeholder_in(name, value, host, port, verified_tls) {
                let again = uses.iter().any(|other| other.header == used.header);
                if again {
                    return Err(CredentialError::Foreign { place: format!("a second {name} header") });
                }
                uses.push(used);
            }
        }
        self.scan(head, &uses)?;
        if self.all.iter().any(|secret| secret.inject.iter().any(|injection| injection.host == *host)) {
            self.refuse_foreign(head, host, &uses)?;
        }
        if let Some(used) = uses.iter().find(|used| self.all[used.secret].value.is_none()) {
            return Err(CredentialError::Missing { secret: self.name(used).to_owned() });
        }
        Ok(uses)
    }

    /// Puts the values in.
    ///
    /// # Errors
    /// When a value has a byte that no header can hold; the secret's name.
    pub fn inject(&self, headers: &mut HeaderMap, uses: &[Use]) -> Result<(), CredentialError> {
        for used in uses {
            let secret = &self.all[used.secret];
            let missing = || CredentialError::Missing { secret: secret.name.clone() };
            let value = secret.value.as_ref().map(Redacted::expose).ok_or_else(missing)?;
            let bytes = match &used.form {
                Form::Format(format) => replaced(format, "{}", value),
                Form::Basic(pair) => {
                    let pair = Redacted::new(replaced(pair, &secret.placeholder, value));
                    format!("Basic {}", STANDARD.encode(pair.expose())).into_bytes()
                }
            };
            let bytes = Redacted::new(bytes);
            let mut value = HeaderValue::from_bytes(bytes.expose()).map_err(|_| missing())?;
            value.set_sensitive(true);
            headers.insert(used.header.clone(), value);
        }
        Ok(())
    }

    /// Whether a host has a secret of ours: its cookies are dropped, both ways.
    pub fn is_credentialed(&self, target: &Target) -> bool {
        let Target::Name(host) = target else { return false };
        self.all.iter().any(|secret| secret.inject.iter().any(|injection| injection.host == *host))
    }

    /// Replaces values that a server sends back in its headers by their placeholders, and answers the names of
    /// the secrets that were found.
    pub fn mask(&self, headers: &mut HeaderMap) -> Vec<String> {
        let mut found = Vec::new();
        for value in headers.values_mut() {
            for secret in &self.all {
                let Some(known) = secret.value.as_ref().map(Redacted::expose) else { continue };
                if known.is_empty() || !contains(value.as_bytes(), known) {
                    continue;
                }
                *value = HeaderValue::from_str(&secret.placeholder)
                    .unwrap_or_else(|_| HeaderValue::from_static("[masked]"));
                found.push(secret.name.clone());
            }
        }
        found
    }

    /// Looks for values in a body that comes from this target, when a secret is bound to it.
    pub fn masker(&self, target: &Target) -> Option<Masker> {
        let masks = self.is_credentialed(target) && !self.faults.skips(Check::Reflection);
        (masks && !self.spellings.is_empty()).then(|| Masker::new(self.spellings.clone()))
    }

    /// The name of a secret that was found in a body.
    pub fn name_at(&self, secret: usize) -> &str {
        &self.all[secret].name
    }

    /// The use that a header asks for, when it is the bound one of the bound host.
    fn placeholder_in(
        &self,
        name: &HeaderName,
        value: &HeaderValue,
        host: &str,
        port: u16,
        verified_tls: bool,
    ) -> Option<Use> {
        if !verified_tls && !self.faults.skips(Check::PlainInjection) {
            return None;
        }
        let text = value.to_str().ok()?.trim();
        let anywhere = self.faults.skips(Check::PlaceholderScope) || self.faults.skips(Check::PlainInjection);
        self.all.iter().enumerate().find_map(|(index, secret)| {
            let bound = |injection: &&Injection| {
                let place = injection.host == host && injection.port == port;
                (place || anywhere) && name.as_str().eq_ignore_ascii_case(&injection.header)
            };
            let injection = secret.inject.iter().find(bound)?;
            let form = form(text, secret, &injection.format)?;
            Some(Use { secret: index, header: name.clone(), form })
        })
    }

    /// Refuses a placeholder anywhere but in the headers of `uses`.
    fn scan(&self, head: &request::Parts, uses: &[Use]) -> Result<(), CredentialError> {
        if self.faults.skips(Check::PlaceholderScope) {
            return Ok(());
        }
        let target = head.uri.path_and_query().map(|path| path.as_str()).unwrap_or_default();
        for secret in &self.all {
            let misused = mentions(target.as_bytes(), &secret.placeholder)
                || head.headers.iter().any(|(name, value)| {
                    let used = uses.iter().any(|used| used.header == *name);
                    !used
                        && (mentions(value.as_bytes(), &secret.placeholder)
                            || in_basic(value, &secret.placeholder))
                        || name.as_str().eq_ignore_ascii_case(&secret.placeholder)
                });
            if misused {
                return Err(CredentialError::Misuse { secret: secret.name.clone() });
            }
        }
        Ok(())
    }

    fn refuse_foreign(&self, head: &request::Parts, host: &str, uses: &[Use]) -> Result<(), CredentialError> {
        if self.faults.skips(Check::ForeignCredential) {
            return Ok(());
        }
        let bound = |name: &str| {
            let injections = self.all.iter().flat_map(|secret| &secret.inject);
            injections.filter(|own| own.host == host).any(|own| own.header.eq_ignore_ascii_case(name))
        };
        for name in head.headers.keys() {
            let credential = CREDENTIAL_HEADERS.contains(&name.as_str()) || bound(name.as_str());
            let ours = uses.iter().any(|used| used.header == *name)
                && head.headers.get_all(name).iter().count() == 1;
            if credential && !ours {
                return Err(CredentialError::Foreign { place: format!("the {name} header") });
            }
        }
        let parameters = head.uri.query().unwrap_or_default().split('&');
        for name in parameters.filter_map(|parameter| parameter.split('=').next()) {
            let name = percent_decoded(name.as_bytes()).to_ascii_lowercase();
            if let Some(known) = CREDENTIAL_PARAMETERS.iter().find(|known| known.as_bytes() == name) {
                return Err(CredentialError::Foreign { place: format!("the query parameter {known}") });
            }
        }
        Ok(())
    }
}

/// How a header's text carries the placeholder: alone, after a scheme, in the binding's format, or as the
/// password of `Basic`. The exact token and nothing beside it.
fn form(text: &str, secret: &Secret, format: &str) -> Option<Form> {
    let token = secret.placeholder.as_str();
    if text == token || text == format.replacen("{}", token, 1) {
        return Some(Form::Format(format.to_owned()));
    }
    let (scheme, rest) = text.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        return (user == token || password == token).then(|| Form::Basic(pair.clone()));
    }
    (scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) && rest == token)
        .then(|| Form::Format(format.to_owned()))
}

fn replaced(text: &str, part: &str, value: &[u8]) -> Vec<u8> {
    match text.split_once(part) {
        Some((before, after)) => [before.as_bytes(), value, after.as_bytes()].concat(),
        None => text.as_bytes().to_vec(),
    }
}

/// Whether `token` stands in `bytes`, as it is or percent-encoded once or twice.
fn mentions(bytes: &[u8], token: &str) -> bool {
    if contains(bytes, token.as_bytes()) {
        return true;
    }
    if !bytes.contains(&b'%') {
        return false;
    }
    let once = percent_decoded(bytes);
    contains(&once, token.as_bytes()) || contains(&percent_decoded(&once), token.as_bytes())
}

fn in_basic(value: &HeaderValue, token: &str) -> bool {
    let decoded =
        |part: &[u8]| STANDARD.decode(part).is_ok_and(|decoded| contains(&decoded, token.as_bytes()));
    value.as_bytes().split(|byte| matches!(byte, b' ' | b',' | b'"')).any(decoded)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.len() <= bytes.len() && bytes.windows(part.len()).any(|window| window == part)
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%'
            && let [high, low, tail @ ..] = after
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
            && let Ok(value) = u8::try_from(high * 16 + low)
        {
            decoded.push(value);
            rest = tail;
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

/// Drops a credentialed host's cookies: a session of somebody else is a credential too.
pub(crate) fn drop_cookies(headers: &mut HeaderMap) {
    headers.remove(header::COOKIE);
    headers.remove(header::SET_COOKIE);
}
