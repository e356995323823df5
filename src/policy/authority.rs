//! `host[:port]` as HTTP, CONNECT and command lines write it, parsed so strictly that what is judged here is what a
//! resolver would look up (RFC 3986, 3.2, without userinfo, without percent-encoding).

use crate::model::rule::Target;

use super::address::{Literal, literal};

/// Longest host name (RFC 1035, 2.3.4), in bytes.
const NAME_MAX: usize = 253;

/// Why a text is no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Not a host name: empty, too long, a label of another form, a byte that has no place in one.
    #[error("this is not a host name")]
    Host,
    /// Programs disagree about which address it is.
    #[error("this is neither clearly a name nor clearly an address")]
    Ambiguous,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// A host: an address in any spelling, or a name in lower case.
///
/// # Errors
/// When it is neither.
pub fn host(text: &str) -> Result<Target, AuthorityError> {
    if text.starts_with('[') != text.ends_with(']') {
        return Err(AuthorityError::Host);
    }
    match literal(text) {
        Some(Literal::Address(address)) => Ok(Target::Address(address)),
        Some(Literal::Ambiguous) => Err(AuthorityError::Ambiguous),
        None => name(text).map(Target::Name),
    }
}

/// A host name of letters, digits, hyphens and underscores (which real host names hold), lower-cased, without a
/// trailing dot.
///
/// # Errors
/// When it has another form, U-labels included: a client sends A-labels.
pub fn name(text: &str) -> Result<String, AuthorityError> {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > NAME_MAX || !text.split('.').all(label) {
        return Err(AuthorityError::Host);
    }
    Ok(text.to_ascii_lowercase())
}

/// `host:port`, or `host` where there is a default port.
///
/// # Errors
/// When host or port has another form, or the port is missing without a default.
pub fn authority(text: &str, default_port: Option<u16>) -> Result<(Target, u16), AuthorityError> {
    let (host_text, port_text) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, rest)) => {
            let port = if rest.is_empty() {
                None
            } else {
                Some(rest.strip_prefix(':').ok_or(AuthorityError::Host)?)
            };
            if !inner.contains(':') {
                return Err(AuthorityError::Host);
            }
            (&text[..inner.len() + 2], port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port_text {
        Some(text) => port(text)?,
        None => default_port.ok_or(AuthorityError::Port)?,
    };
    Ok((host(host_text)?, port))
}

fn port(text: &str) -> Result<u16, AuthorityError> {
    if text.is_empty() || text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(AuthorityError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c21_authorities_of_another_form_are_refused() {
        for text in [
            "",
            ":443",
            "good@evil.test:443",
            "user:pass@evil.test:443",
            "evil.test%00:443",
            "evil%2etest:443",
            "evil.test\t:443",
            "evil.test :443",
            "evil.test:４４３",
            "evil.test:443:80",
            "evil.test:66979",
            "evil.test:+443",
            "evil.test:",
            "evil.test:0",
            "[::1%25lo]:443",
            "[::1]443",
            "[::1",
            "::1",
            "[evil.test]:443",
            "evil..test:443",
            ".evil.test:443",
            "evil.test.:443",
            "-evil.test:443",
            "gіthub.com:443",
            "evil.test/:443",
            "evil.test\0:443",
            "1.2.3.4.5:443",
            "evil.test",
        ] {
            assert!(authority(text, None).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_clients_send_is_understood() {
        let name = |text: &str| Target::Name(text.to_owned());
        let address = |text: &str| Target::Address(text.parse().unwrap());
        for (text, expected) in [
            ("example.test:443", (name("example.test"), 443)),
            ("EXAMPLE.test", (name("example.test"), 80)),
            ("xn--bcher-kva.test:8443", (name("xn--bcher-kva.test"), 8443)),
            ("192.0.2.1:443", (address("192.0.2.1"), 443)),
            ("0x7f.1:443", (address("127.0.0.1"), 443)),
            ("[2001:db8::1]:443", (address("2001:db8::1"), 443)),
            ("[::ffff:10.0.0.1]", (address("10.0.0.1"), 80)),
        ] {
            assert_eq!(authority(text, Some(80)), Ok(expected), "{text}");
        }
    }
}
