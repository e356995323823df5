//! Reads a grant. Approvals are files, so the reading is strict and bounded: what is not exactly what would be written
//! is refused, with what would be.

use std::{iter::Peekable, str::FromStr, vec::IntoIter};

use super::{
    Grant, Net,
    except::Denies,
    place::Place,
    reach::{Methods, PathPattern, Reach, Scope, SetName},
    text, words,
};
use crate::model::{
    desired::{Access, Preset, WorkspaceMode},
    pattern,
    rule::{Addresses, During, Ports, Protocol},
};

/// Longest text of a grant, in bytes: a wide pattern with thousands of exceptions.
pub const GRANT_MAX: usize = 256 << 10;
/// Most methods and exceptions of one: more than the rules of a sandbox may tell apart. Each is compared with each.
pub const PARTS_MAX: usize = 6_144;
/// Longest text of which it is tried what was meant, in bytes.
const MEANT_MAX: usize = 1024;
/// The header of a secret that is not written.
pub(super) const USUAL_HEADER: &str = "authorization";

/// Why a text is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It is longer than any.
    #[error("a grant has at most {GRANT_MAX} bytes")]
    TooLong,
    /// It tells more apart than any.
    #[error("a grant has at most {PARTS_MAX} methods and exceptions")]
    TooMuch,
    /// It has another form.
    #[error("`{}` is not a grant; a grant is for example `net GET,HEAD registry:npm`, `mount ~/data read` or `port 3000`", shown(.0))]
    Form(String),
    /// It means something, and is written otherwise.
    #[error("`{}` is written `{}`", shown(text), shown(written))]
    Spelling {
        /// The text.
        text: String,
        /// The one spelling of what it means.
        written: String,
    },
}

/// The beginning of a text, with nothing in it that a terminal obeys.
fn shown(text: &str) -> String {
    let visible = text.chars().take(200).flat_map(|sign| {
        let hidden = sign.is_control() || !(sign == '→' || sign.is_alphanumeric() || sign.is_ascii());
        let (escaped, plain) = (hidden.then(|| sign.escape_unicode()), (!hidden).then_some(sign));
        escaped.into_iter().flatten().chain(plain)
    });
    visible.collect()
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        if text.len() > GRANT_MAX {
            return Err(GrantError::TooLong);
        }
        let form = || match meant(text) {
            Some(meant) => GrantError::Spelling { text: text.to_owned(), written: meant.to_string() },
            None => GrantError::Form(text.to_owned()),
        };
        let words = words::split(text).ok_or_else(form)?;
        if words.iter().map(|word| parts(word)).sum::<usize>() > PARTS_MAX {
            return Err(GrantError::TooMuch);
        }
        let grant = grant(words).ok_or_else(form)?;
        let written = grant.to_string();
        if written == text { Ok(grant) } else { Err(GrantError::Spelling { text: text.to_owned(), written }) }
    }
}

/// How many methods or exceptions a word may stand for.
fn parts(word: &str) -> usize {
    match word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b',') {
        true => word.split(',').count(),
        false => usize::from(word == "except"),
    }
}

/// What somebody meant who wrote a port, an arrow, a space or a folder otherwise: for the message alone.
fn meant(text: &str) -> Option<Grant> {
    if text.len() > MEANT_MAX || text.contains(['"', '\\']) {
        return None;
    }
    let arrow = |word: &str| if matches!(word, "->" | "=>") { "→" } else { word }.to_owned();
    let words: Vec<String> = text.split_whitespace().map(arrow).collect();
    let with = |at: usize, word: String| {
        let mut words = words.clone();
        words[at] = word;
        grant(words)
    };
    let first = words.first()?.as_str();
    grant(words.clone()).or_else(|| match first {
        "mount" | "workspace" => with(1, folder(words.get(1)?)),
        "net" | "ask" => (1..words.len()).find_map(|at| with(at, format!("{}:443", words[at]))),
        _ => None,
    })
}

/// A folder without empty parts, `.` and a slash at its end.
fn folder(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let anchor = match text.chars().next() {
        Some('/') => "/",
        Some('.') if parts.is_empty() => ".",
        Some('.') => "./",
        _ => "",
    };
    format!("{anchor}{}", parts.join("/"))
}

type Words = Peekable<IntoIter<String>>;

fn grant(words: Vec<String>) -> Option<Grant> {
    let mut words = words.into_iter().peekable();
    let grant = match words.next()?.as_str() {
        "net" if words.next_if(|word| word == "preset").is_some() => {
            let preset = match words.next()?.as_str() {
                "balanced" => Preset::Balanced,
                "open" => Preset::Open,
                _ => return None,
            };
            Grant::preset(preset, &Denies::new(&except(&mut words)?))
        }
        "net" => Grant::Net(net(&mut words)?),
        "ask" => Grant::Ask(net(&mut words)?),
        "secret" => secret(&mut words)?,
        "mount" => {
            let source = Place::read(&words.next()?)?;
            let access = match words.next()?.as_str() {
                "read" => Access::Read,
                "write" => Access::Write,
                _ => return None,
            };
            Grant::Mount { source, access }
        }
        "workspace" => {
            let path = Place::read(&words.next()?)?;
            let mode = match words.next()?.as_str() {
                "read" => WorkspaceMode::Read,
                "direct" => WorkspaceMode::Direct,
                _ => return None,
            };
            Grant::Workspace { path, mode }
        }
        "port" => {
            let guest = words.next()?.parse().ok()?;
            let arrow = words.next_if(|word| word == "→").is_some();
            Grant::Port { guest, host: if arrow { Some(words.next()?.parse().ok()?) } else { None } }
        }
        "host-service" => Grant::HostService {
            name: words.next().filter(|name| is_label(name))?,
            port: words.next()?.parse().ok()?,
            methods: methods(&words.next()?)?,
            path: path(&mut words)?,
        },
        "isolation" => words.next().filter(|word| word == "emulation-ok").map(|_| Grant::EmulationOk)?,
        _ => return None,
    };
    words.next().is_none().then_some(grant)
}

fn is_label(text: &str) -> bool {
    text.len() <= 63
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn secret(words: &mut Words) -> Option<Grant> {
    let name = words.next()?;
    words.next_if(|word| word == "→")?;
    let target = words.next()?;
    let (host, port) = target.split_once(':').map_or((target.as_str(), "443"), |(host, port)| (host, port));
    Some(Grant::Secret {
        name,
        host: pattern::parse_name(host).ok()?,
        port: port.parse().ok()?,
        header: words.next().unwrap_or_else(|| USUAL_HEADER.to_owned()),
    })
}

fn net(words: &mut Words) -> Option<Net> {
    let protocol = protocol(words, true);
    let opaque = text::is_opaque(protocol.flatten());
    let methods = if opaque { Methods::All } else { methods(&words.next()?)? };
    let scope = scope(words, None)?;
    let usual = text::usual_in(&scope);
    let reach = Reach { scope, protocol: protocol.unwrap_or(usual), methods, path: path(words)? };
    let private = words.next_if(|word| word == "private").is_some();
    let addresses = if private { Addresses::Private } else { Addresses::Public };
    let during = match words.next_if(|word| word == "during") {
        Some(_) => words.next_if(|word| word == "setup").map(|_| During::Setup)?,
        None => During::Always,
    };
    let until = match words.next_if(|word| word == "until") {
        Some(_) => Some(words.next()?.parse().ok()?),
        None => None,
    };
    let net = Net::new(reach, addresses, during, &Denies::new(&except(words)?))?;
    Some(Net { until, ..net })
}

fn except(words: &mut Words) -> Option<Vec<Reach>> {
    let mut all = Vec::new();
    while words.next_if(|word| word == "except").is_some() {
        let protocol = protocol(words, false).flatten();
        let named = |word: &String| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b',');
        let methods = match words.next_if(named) {
            Some(list) => methods(&list)?,
            None => Methods::All,
        };
        let scope = scope(words, Some(Ports::ALL))?;
        if !matches!(scope, Scope::Hosts { set: None, .. } | Scope::Unpinned(_)) {
            return None;
        }
        all.push(Reach { scope, protocol, methods, path: path(words)? });
    }
    Some(all)
}

/// The protocol where one is written; `any` is none.
#[expect(clippy::option_option, reason = "not written, written as any, and written are three things")]
fn protocol(words: &mut Words, any: bool) -> Option<Option<Protocol>> {
    let read = |word: &str| match word {
        "http" => Some(Some(Protocol::Http)),
        "https" => Some(Some(Protocol::Https)),
        "tls" => Some(Some(Protocol::Tls)),
        "tcp" => Some(Some(Protocol::Tcp)),
        "any" if any => Some(None),
        _ => None,
    };
    words.next_if(|word| read(word).is_some()).and_then(|word| read(&word))
}

fn methods(text: &str) -> Option<Methods> {
    if text == "*" {
        return Some(Methods::All);
    }
    let list: Vec<String> = text.split(',').map(str::to_owned).collect();
    let right = |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    list.iter().all(right).then(|| Methods::new(&list))
}

/// The hosts or the set; `ports` where none are written.
fn scope(words: &mut Words, ports: Option<Ports>) -> Option<Scope> {
    let word = words.next()?;
    let hosts = |text: &str, set| {
        let (host, written) = pattern::parse(text).ok()?;
        Some(Scope::Hosts { host, ports: written.or(ports)?, set })
    };
    if pattern::named_set(&word).is_none() {
        return hosts(&word, None);
    }
    let set = SetName::new(&word)?;
    match words.next_if(|word| word.starts_with('(')) {
        Some(member) if member == text::UNPINNED && word.starts_with("registry:") => {
            Some(Scope::Unpinned(set))
        }
        Some(member) => hosts(member.strip_prefix('(')?.strip_suffix(')')?, Some(set)),
        None => Some(Scope::Set(set)),
    }
}

#[expect(clippy::option_option, reason = "no path, and a path that cannot be read, are two things")]
fn path(words: &mut Words) -> Option<Option<PathPattern>> {
    match words.next_if(|word| word.starts_with('/')) {
        Some(path) => PathPattern::new(&path).map(Some),
        None => Some(None),
    }
}
