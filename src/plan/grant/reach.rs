//! Whom requests may reach, and with what: the part that allow, ask and deny have in common.

use crate::model::rule::{HostPattern, Ports, Protocol};

/// Whom, speaking what, with which requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Whom.
    pub scope: Scope,
    /// Speaking what; none: anything.
    pub protocol: Option<Protocol>,
    /// Methods of requests.
    pub methods: Methods,
    /// Paths of requests; none: all.
    pub path: Option<PathPattern>,
}

impl Reach {
    /// One for each method.
    pub(super) fn each_method(&self) -> Vec<Self> {
        let with = |methods| Self { methods, ..self.clone() };
        self.methods.each().into_iter().map(with).collect()
    }
}

/// Whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Hosts on ports, with the set that they came from.
    Hosts {
        /// The hosts.
        host: HostPattern,
        /// Their ports.
        ports: Ports,
        /// The set that resolved to them.
        set: Option<SetName>,
    },
    /// A set that nothing pins, where no host is asked what it is: in a comparison of commits. What it is on one host or
    /// another is not known, so it is none of the hosts.
    Unpinned(SetName),
    /// A set, whatever it resolves to. No file of a repository yields this; a person's baseline may.
    Set(SetName),
}

/// The name of a set: `registry:npm`; in a baseline also `registry:*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetName(String);

impl SetName {
    /// From its text; none where it is not one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (_, name) = crate::model::pattern::named_set(text)?;
        let sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '+' | '-' | '.' | '_');
        let right = name == "*" || (!name.is_empty() && name.chars().all(sign));
        (right && text.len() <= 128).then(|| Self(text.to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both speak of one registry, whatever may be done there.
    pub(super) fn is_same_registry(&self, other: &Self) -> bool {
        let registry =
            |name: &Self| name.0.split_once('+').map_or(name.0.clone(), |(name, _)| name.to_owned());
        registry(self) == registry(other)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        self == other || self.0.strip_suffix('*').is_some_and(|kind| other.0.starts_with(kind))
    }
}

/// Methods of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Methods {
    /// All.
    All,
    /// These: sorted, each once, at least one.
    Only(Vec<String>),
}

impl Methods {
    /// From a rule's list, in which none means all.
    #[must_use]
    pub fn new(methods: &[String]) -> Self {
        if methods.is_empty() {
            return Self::All;
        }
        let mut methods = methods.to_vec();
        methods.sort_unstable();
        methods.dedup();
        Self::Only(methods)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(own), Self::Only(other)) => other.iter().all(|method| own.contains(method)),
        }
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(own), Self::Only(other)) => other.iter().any(|method| own.contains(method)),
            _ => true,
        }
    }

    /// One for each method, so that each can be judged by itself.
    pub(super) fn each(&self) -> Vec<Self> {
        match self {
            Self::All => vec![Self::All],
            Self::Only(methods) => methods.iter().map(|method| Self::Only(vec![method.clone()])).collect(),
        }
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut own), Self::Only(other)) => {
                own.extend(other);
                Self::new(&own)
            }
            _ => Self::All,
        }
    }

    /// The list of a rule.
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Only(methods) => methods.clone(),
        }
    }
}

/// A pattern of paths in one spelling: `/v1/**`. Segments, `*` within one for any text, `**` for any number of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern(String);

impl PathPattern {
    /// From a rule's text. None where it means every path.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut path = String::with_capacity(text.len() + 1);
        let mut deep = false;
        for segment in text.strip_prefix('/').unwrap_or(text).split('/') {
            // Two `**` in a row are one, and so are two `*` within a segment.
            if segment == "**" && deep {
                continue;
            }
            deep = segment == "**";
            path.push('/');
            if deep {
                path.push_str(segment);
                continue;
            }
            let mut star = false;
            for sign in segment.chars() {
                if sign != '*' || !star {
                    path.push(sign);
                }
                star = sign == '*';
            }
        }
        (path != "/**").then_some(Self(path))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same in lower case: denies ignore case.
    pub(super) fn lower(&self) -> Option<Self> {
        Self::new(&self.0.to_ascii_lowercase())
    }

    /// Whether every path of `other` is one of this. Where the text cannot tell it says no.
    pub(super) fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        // What stands before our first wildcard stands there too: most patterns are told apart by that alone.
        let Some((plain, _)) = self.0.split_once('*') else { return false };
        let whole = plain.rsplit_once('/').map_or("", |(segments, _)| segments);
        if !other.0.starts_with(whole) {
            return false;
        }
        let own: Vec<&str> = self.0[1..].split('/').collect();
        let others: Vec<&str> = other.0[1..].split('/').collect();
        let one = |own: &&str, other: &&str| {
            *other != "**"
                && absorbs(own.as_bytes(), other.as_bytes(), |sign| *sign == b'*', |own, other| own == other)
        };
        absorbs(&own, &others, |segment| *segment == "**", one)
    }
}

/// Matches `other` as if its wildcards were ordinary signs, which only our wildcards can stand for. The usual
/// two-pointer match: on failure only the last wildcard is tried again.
fn absorbs<T>(own: &[T], other: &[T], wild: impl Fn(&T) -> bool, one: impl Fn(&T, &T) -> bool) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut retry = None;
    while position < other.len() {
        match own.get(at) {
            Some(part) if wild(part) => {
                retry = Some((at, position));
                at += 1;
            }
            Some(part) if one(part, &other[position]) => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((wild_at, taken)) = retry else { return false };
                retry = Some((wild_at, taken + 1));
                at = wild_at + 1;
                position = taken + 1;
            }
        }
    }
    own[at..].iter().all(wild)
}
