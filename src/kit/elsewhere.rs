//! Kits from elsewhere: what names one in git, what it was pinned to, and whoever holds what was fetched.
//!
//! Nothing here fetches. A file says `git+https://…`, the lock file says which commit and which bytes that is, a
//! [`KitStore`] has the bytes. Where one of them is missing, the finding says so and `wants` the source; only a command
//! whose user asked for it goes and gets it (`update`, or a source that was typed).

use std::{collections::BTreeMap, fmt, net::IpAddr, rc::Rc, str::FromStr};

use super::problem::{is_unprintable, quoted};

/// Longest source, in bytes.
const SOURCE_MAX: usize = 2_048;
/// Longest name of a host, and of a reference (as servers have it).
const HOST_MAX: usize = 253;
const REFERENCE_MAX: usize = 255;

/// The form, for whoever wrote another one.
pub(super) const FORM: &str = "write git+https://HOST/PATH#ref=BRANCH-OR-TAG&dir=FOLDER";

/// Archives of kits that were fetched.
pub trait KitStore: fmt::Debug {
    /// The archive with this SHA-256 sum, hexadecimal; none where it was never fetched here. Whoever answers has
    /// held the bytes against the sum.
    ///
    /// # Errors
    /// In words, when what is kept under that sum is something else or cannot be read.
    fn archive(&self, digest: &str) -> Result<Option<Vec<u8>>, String>;
}

/// What surrounds a load as far as kits from elsewhere go.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// What was fetched; none: nothing is.
    pub store: Option<Rc<dyn KitStore>>,
    /// What sources were resolved to by this command; goes before what the lock file pins.
    pub resolved: BTreeMap<GitSource, Pin>,
    /// Whether the document on standard input was typed by the operator, who may name any source.
    pub typed: bool,
}

/// What a source resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The commit, hexadecimal.
    pub commit: String,
    /// SHA-256 of the archive of the kit's files, hexadecimal.
    pub digest: String,
}

/// A folder in a git repository that others serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitSource {
    /// Without it the repository is a folder of this host.
    host: Option<Host>,
    path: String,
    reference: Option<String>,
    dir: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    name: String,
    port: Option<u16>,
}

/// Why a text names no kit in git.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitSourceError {
    /// Over ssh, which takes a key of the user's.
    #[error("git+ssh is not available: a kit is fetched without anybody's key")]
    Ssh,
    /// Another scheme.
    #[error("a kit in git is named by git+https")]
    Scheme,
    /// Too long, or with signs that no address has.
    #[error("the address holds a sign that no address of a kit has, or is too long")]
    Signs,
    /// A user name or a password.
    #[error("an address of a kit holds no user name and no password")]
    Credential,
    /// No host, or one in a form that this does not take.
    #[error("{0} is no host with an optional port")]
    Host(String),
    /// The path.
    #[error("{0} is no plain path of a repository")]
    Path(String),
    /// After `#`.
    #[error("{0} is neither `ref=…` nor `dir=…`, or stands twice")]
    Fragment(String),
    /// What `ref` says.
    #[error("{0} is no branch, tag or commit")]
    Reference(String),
    /// What `dir` says.
    #[error("{0} is no plain folder of the repository")]
    Dir(String),
}

impl GitSource {
    /// The address of the repository, as git takes it.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.host {
            Some(host) => format!("https://{host}{}", self.path),
            None => format!("file://{}", self.path),
        }
    }

    /// The host and the port that it is asked at; none for a folder of this host.
    #[must_use]
    pub fn server(&self) -> Option<(&str, u16)> {
        self.host.as_ref().map(|host| (host.name.as_str(), host.port.unwrap_or(443)))
    }

    /// The branch, tag or commit; none: what the repository has checked out.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The kit's folder, from the repository's root; empty: the root.
    #[must_use]
    pub fn dir(&self) -> &str {
        self.dir.as_deref().unwrap_or_default()
    }

    /// What a person would call the kit: its folder, else the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        let path = self.dir.as_deref().unwrap_or(&self.path);
        let last = path.rsplit('/').next().unwrap_or(path);
        last.strip_suffix(".git").unwrap_or(last)
    }

    /// Whether the repository is a folder of this host.
    #[must_use]
    pub fn is_of_this_host(&self) -> bool {
        self.host.is_none()
    }

    /// Whether its host can be one that others reach too: not a number of this host or its own network.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.host.as_ref().is_some_and(|host| is_public(&host.name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// In one spelling: two texts that mean the same are the same here.
impl fmt::Display for GitSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "git+{}", self.url())?;
        let parts = [("ref", &self.reference), ("dir", &self.dir)];
        let mut sign = '#';
        for (key, value) in parts {
            if let Some(value) = value {
                write!(formatter, "{sign}{key}={value}")?;
                sign = '&';
            }
        }
        Ok(())
    }
}

impl FromStr for GitSource {
    type Err = GitSourceError;

    fn from_str(text: &str) -> Result<Self, GitSourceError> {
        use GitSourceError as Error;
        let odd =
            |sign: char| sign.is_whitespace() || is_unprintable(sign) || matches!(sign, '\\' | '%' | '?');
        if text.len() > SOURCE_MAX || text.contains(odd) {
            return Err(Error::Signs);
        }
        let (address, fragment) =
            text.split_once('#').map_or((text, None), |(head, tail)| (head, Some(tail)));
        let (host, path) = if let Some(rest) = address.strip_prefix("git+https://") {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if host.contains('@') {
                return Err(Error::Credential);
            }
            (Some(host_of(host).ok_or_else(|| Error::Host(quoted(host)))?), path)
        } else if let Some(path) = address.strip_prefix("git+file://") {
            (None, path)
        } else if address.starts_with("git+ssh:") {
            return Err(Error::Ssh);
        } else {
            return Err(Error::Scheme);
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.strip_prefix('/').is_some_and(is_plain) {
            return Err(Error::Path(quoted(path)));
        }
        let mut source = Self { host, path: path.to_owned(), reference: None, dir: None };
        for part in fragment.into_iter().flat_map(|fragment| fragment.split('&')) {
            match part.split_once('=') {
                Some(("ref", value)) if source.reference.is_none() => {
                    let known = is_reference(value).then(|| value.to_owned());
                    source.reference = Some(known.ok_or_else(|| Error::Reference(quoted(value)))?);
                }
                Some(("dir", value)) if source.dir.is_none() => {
                    let value = value.strip_suffix('/').unwrap_or(value);
                    let known = is_plain(value).then(|| value.to_owned());
                    source.dir = Some(known.ok_or_else(|| Error::Dir(quoted(value)))?);
                }
                _ => return Err(Error::Fragment(quoted(part))),
            }
        }
        Ok(source)
    }
}

/// A host's name or number, and a port.
fn host_of(text: &str) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (number, port) = rest.split_once(']')?;
            let number: std::net::Ipv6Addr = number.parse().ok()?;
            (format!("[{number}]"), port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, ""), |(name, port)| (name, port));
            // `host:` without a port is no form of ours.
            let port = (!text.ends_with(':')).then_some(port);
            (name.to_ascii_lowercase(), port)
        }
    };
    let port = match port? {
        "" => None,
        port if port.bytes().all(|sign| sign.is_ascii_digit()) => {
            Some(port.parse().ok().filter(|port| *port > 0)?)
        }
        _ => return None,
    };
    let label = |label: &str| {
        let sign = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(sign)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = name.starts_with('[') || (name.len() <= HOST_MAX && name.split('.').all(label));
    named.then_some(Host { name, port })
}

/// Folders and a name, none of which means another place or looks like an option.
fn is_plain(path: &str) -> bool {
    let sign = |sign: char| sign.is_alphanumeric() || matches!(sign, '.' | '_' | '-' | '+' | '~' | '@' | ',');
    let part = |part: &str| {
        !part.is_empty() && !matches!(part, "." | "..") && !part.starts_with('-') && part.chars().all(sign)
    };
    !path.is_empty() && path.split('/').all(part)
}

/// What git-check-ref-format(1) lets through, and no more than is in use.
fn is_reference(text: &str) -> bool {
    let sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-' | '/' | '+');
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-', '+'])
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.len() <= REFERENCE_MAX && text.chars().all(sign) && !text.contains("..") && text.split('/').all(part)
}

/// Whether a host is not plainly this one or one of its own network. What a name resolves to is not looked at.
fn is_public(name: &str) -> bool {
    let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match number.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(it)) => {
            let octets = it.octets();
            let shared = octets[0] == 100 && octets[1] & 0xc0 == 64;
            !(it.is_loopback()
                || it.is_private()
                || it.is_link_local()
                || it.is_unspecified()
                || shared
                || octets[0] == 0)
        }
        Ok(IpAddr::V6(it)) => {
            !(it.is_loopback() || it.is_unspecified() || it.is_unicast_link_local() || it.is_unique_local())
        }
        Err(_) => {
            // Resolvers read `0x7f.1` and `2130706433` as numbers.
            let last = name.rsplit('.').next().unwrap_or_default();
            let number = last.bytes().all(|sign| sign.is_ascii_digit()) || last.starts_with("0x");
            !(number || last == "localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse::<GitSource>().map(|source| source.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn sources_have_one_spelling() {
        for (text, expected) in [
            ("git+https://git.example/acme/kits.git", "git+https://git.example/acme/kits.git"),
            (
                "git+https://GIT.example:8443/k/#dir=a/b/&ref=v1.0",
                "git+https://git.example:8443/k#ref=v1.0&dir=a/b",
            ),
            ("git+https://[2001:DB8::1]:1/k#ref=feature/x", "git+https://[2001:db8::1]:1/k#ref=feature/x"),
            ("git+file:///srv/kits", "git+file:///srv/kits"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(read(expected).as_deref(), Ok(expected));
        }
        let source: GitSource = "git+https://git.example/k#ref=v1&dir=a".parse().unwrap();
        assert_eq!(
            (source.url().as_str(), source.reference(), source.dir()),
            ("https://git.example/k", Some("v1"), "a")
        );
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for (text, words) in [
            ("git+ssh://git.example/k", "git+ssh"),
            ("git+http://git.example/k", "git+https"),
            ("git+ext::sh -c x", "sign"),
            ("git+https://user:word@git.example/k", "no user name"),
            ("git+https://user@git.example/k", "no user name"),
            ("git+https:///k", "no host"),
            ("git+https://-x/k", "no host"),
            ("git+https://git_hub.example/k", "no host"),
            ("git+https://git.example:/k", "no host"),
            ("git+https://git.example:0/k", "no host"),
            ("git+https://git.example:99999/k", "no host"),
            ("git+https://git.example:+1/k", "no host"),
            ("git+https://[::1/k", "no host"),
            ("git+https://git..example/k", "no host"),
            ("git+https://git.example", "no plain path"),
            ("git+https://git.example/", "no plain path"),
            ("git+https://git.example/a/../b", "no plain path"),
            ("git+https://git.example/a//b", "no plain path"),
            ("git+https://git.example/--upload-pack=x", "no plain path"),
            ("git+https://git.example/a?b=c", "sign"),
            ("git+https://git.example/%2e%2e", "sign"),
            ("git+https://git.example/a b", "sign"),
            ("git+https://git.example/a\u{1b}[2J", "sign"),
            ("git+https://git.example/k#v1", "neither"),
            ("git+https://git.example/k#", "neither"),
            ("git+https://git.example/k#ref=a&ref=b", "stands twice"),
            ("git+https://git.example/k#ref=", "no branch"),
            ("git+https://git.example/k#ref=-x", "no branch"),
            ("git+https://git.example/k#ref=+x", "no branch"),
            ("git+https://git.example/k#ref=a:b", "no branch"),
            ("git+https://git.example/k#ref=a..b", "no branch"),
            ("git+https://git.example/k#ref=a@{1}", "no branch"),
            ("git+https://git.example/k#dir=..", "no plain folder"),
            ("git+https://git.example/k#dir=/etc", "no plain folder"),
            ("git+https://git.example/k#dir=a/../../b", "no plain folder"),
            ("git+file://host/srv", "no plain path"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(words), "{text}: {found}");
            assert!(!found.contains('\u{1b}'));
        }
    }

    #[test]
    fn numbers_of_this_host_and_its_network_are_not_public() {
        for (host, public) in [
            ("git.example", true),
            ("192.0.2.1", true),
            ("[2001:db8::1]", true),
            ("127.0.0.1", false),
            ("127.1", false),
            ("2130706433", false),
            ("0x7f.0.0.1", false),
            ("0x7f000001", false),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("[::1]", false),
            ("[::ffff:127.0.0.1]", false),
            ("[fe80::1]", false),
            ("[fd00::1]", false),
            ("localhost", false),
            ("a.localhost", false),
        ] {
            let source: GitSource = format!("git+https://{host}/k").parse().unwrap();
            assert_eq!(source.is_public(), public, "{host}");
        }
    }
}
