//! Package registries: where the clients on this host fetch from. No host of any of them is written here, nor anywhere
//! else in the program: they are facts of a host.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    pattern::{self, PatternError},
    rule::{HostPattern, NetworkRule, Protocol},
};

/// Longest address, in bytes: longer ones are no addresses of registries.
const URL_MAX: usize = 1024;

/// What begins the text that stands for a registry of which nobody has said where it is.
const UNPINNED: &str = "registry:";

/// The registry (`registry:npm`) that a rule speaks of without saying where it is; none where it names a host.
#[must_use]
pub fn unpinned(rule: &NetworkRule) -> Option<&str> {
    match &rule.host {
        HostPattern::Exact(host) if is_unpinned(host) => Some(host),
        _ => None,
    }
}

/// Whether the host of a rule is none, but a registry of which nobody has said where it is.
#[must_use]
pub fn is_unpinned(host: &str) -> bool {
    host.starts_with(UNPINNED)
}

/// The address of a registry, in one spelling: lower-case host, no port where it is the usual one, no `/` at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryUrl {
    secure: bool,
    host: String,
    port: u16,
    /// Empty, or `/` and segments.
    path: String,
}

impl RegistryUrl {
    /// What is spoken there.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        if self.secure { Protocol::Https } else { Protocol::Http }
    }

    /// Its host, lower-case A-labels.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path that everything of it lies below; empty: all of the host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands for the registry `name` where nobody is asked what it is: `registry:name`, which no address has that
    /// was read. Only comparisons of commits have it, and nobody connects to it.
    #[must_use]
    pub fn unpinned(name: &str) -> Self {
        Self {
            secure: true,
            host: format!("{UNPINNED}{name}"),
            port: Self::usual_port(true),
            path: String::new(),
        }
    }

    const fn usual_port(secure: bool) -> u16 {
        if secure { 443 } else { 80 }
    }
}

fn wrong<T>(message: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError { message: message.into(), at: 0 })
}

impl FromStr for RegistryUrl {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > URL_MAX {
            return wrong(format!("an address has at most {URL_MAX} bytes"));
        }
        let (secure, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return wrong("an address begins with https:// or http://"),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("an address here holds no user name and no password; write the host alone");
        }
        let (host, ports) = pattern::parse(authority)?;
        let HostPattern::Exact(host) = host else {
            return wrong("an address here names one host, no wildcard and no number");
        };
        let port = match ports {
            None => Self::usual_port(secure),
            Some(ports) if ports.first == ports.last => ports.first,
            Some(_) => return wrong("an address has one port"),
        };
        let path = path.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-+@:".contains(&byte);
        if !path.bytes().all(plain) {
            return wrong("the path of an address here has letters, digits and ./_~-+@: only");
        }
        if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return wrong("the path of an address here has no empty segment, no `.` and no `..`");
        }
        Ok(Self { secure, host, port, path: path.to_owned() })
    }
}

impl TryFrom<String> for RegistryUrl {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<RegistryUrl> for String {
    fn from(url: RegistryUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.host)?;
        if self.port != Self::usual_port(self.secure) {
            write!(formatter, ":{}", self.port)?;
        }
        write!(formatter, "{}/", self.path)
    }
}

/// What one registry is on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// Its addresses, at least one: the index first, then where packages lie when that is elsewhere.
    pub urls: Vec<RegistryUrl>,
    /// Where that was found, in words: `registries.npm of the operator's configuration`.
    pub source: String,
}

/// The answer to "what is `registry:NAME` here?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lookup {
    /// This.
    Found(Registry),
    /// Nothing says so; the words name what was looked at.
    Unknown(String),
    /// Nobody is asked, as in a comparison of commits: what `sandbox.lock` pins holds, else [`RegistryUrl::unpinned`].
    Unpinned(RegistryUrl),
}

/// What has been looked up so far, by name (`npm`, without `registry:` and without `+publish`). A name that is not
/// there was not asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Registries(pub BTreeMap<String, Lookup>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for (text, shown) in [
            ("https://Packages.Example", "https://packages.example/"),
            ("https://packages.example:443/", "https://packages.example/"),
            ("http://packages.example:8081/a/b//", "http://packages.example:8081/a/b/"),
            ("HTTPS://packages.example/npm/", "https://packages.example/npm/"),
        ] {
            let url: RegistryUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        for (text, part) in [
            ("packages.example", "begins with"),
            ("ftp://packages.example", "begins with"),
            ("https://user:token@packages.example/", "no user name"),
            ("https://*.example/", "one host"),
            ("https://192.0.2.1/", "no number"),
            ("https://packages.example:80-90/", "one port"),
            ("https://packages.example/a/**", "letters, digits"),
            ("https://packages.example/a?token=x", "letters, digits"),
            ("https://packages.example/a/../b", "no `..`"),
            ("https://packages.example//a", "empty segment"),
            ("https:///a", "empty"),
        ] {
            let error = text.parse::<RegistryUrl>().expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }
}
