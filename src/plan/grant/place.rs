//! Host folders as a grant names them: the same text on every machine where that is possible, since approvals may be
//! committed, and never one that means another folder in another working tree of the repository.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use super::derive::Ground;

/// A host folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// In the repository: the path from its root, empty for the root.
    Repository(String),
    /// In the user's home: the path from there, empty for the home itself.
    Home(String),
    /// Elsewhere: an absolute path.
    Absolute(String),
}

impl Place {
    /// How `path`, absolute and without a link, is named on this ground. The shortest wins: the repository before
    /// the home.
    #[must_use]
    pub fn of(path: &Path, ground: &Ground) -> Self {
        if let Ok(below) = path.strip_prefix(&ground.root) {
            return Self::Repository(text(below));
        }
        match path.strip_prefix(&ground.home) {
            Ok(below) if ground.home != Path::new("/") => Self::Home(text(below)),
            _ => Self::Absolute(text(path)),
        }
    }

    /// Whether it is `other` or lies above it. Different anchors are never compared: that asks once too often, and
    /// never too rarely.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Repository(own), Self::Repository(other))
            | (Self::Home(own), Self::Home(other))
            | (Self::Absolute(own), Self::Absolute(other)) => Path::new(other).starts_with(own),
            _ => false,
        }
    }

    /// Reads what [`fmt::Display`] wrote.
    pub(super) fn read(text: &str) -> Option<Self> {
        let plain = |below: &str| {
            let mut parts = Path::new(below).components();
            // One spelling: no empty part, no `.`, no `..`, no slash at the end.
            parts.all(|part| matches!(part, Component::Normal(_)))
                && Path::new(below).components().collect::<PathBuf>().as_os_str() == below
        };
        let below = |prefix: &str| {
            let rest = text.strip_prefix(prefix)?;
            if rest.is_empty() {
                return Some(String::new());
            }
            rest.strip_prefix('/').filter(|rest| !rest.is_empty() && plain(rest)).map(str::to_owned)
        };
        match text.chars().next()? {
            '.' => below(".").map(Self::Repository),
            '~' => below("~").map(Self::Home),
            '/' => plain(&text[1..]).then(|| Self::Absolute(text.to_owned())),
            _ => None,
        }
    }
}

/// A path as text that no other path has.
fn text(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (anchor, below) = match self {
            Self::Repository(below) => (".", below),
            Self::Home(below) => ("~", below),
            Self::Absolute(path) => return formatter.write_str(path),
        };
        formatter.write_str(anchor)?;
        if below.is_empty() { Ok(()) } else { write!(formatter, "/{below}") }
    }
}
