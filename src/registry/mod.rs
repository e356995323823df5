//! What `registry:NAME` is on this host, as the clients of that registry would have it: the user's own configuration
//! of the client, else what the installed client says its default is. No address of any registry is written here.
//!
//! A file of a repository can make us look (it names the registry), so it must not decide where: nothing in a workspace
//! is read, programs are taken from absolute folders outside of the repository, run in `/` with a cleaned environment,
//! and bounded in time and output (`ask`). Of a configuration only the key that names the registry is used; a user name
//! or a token in an address is dropped where it is read.
//!
//! One file per client, each with a `look` of the same shape: what is configured, what the client says, in words.

mod apt;
mod ask;
mod cargo;
mod lines;
mod npm;
mod other;
mod pypi;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::{
    kit::similar,
    model::registry::{Lookup, Registry, RegistryUrl},
    store::file::read_own,
};

/// Longest configuration file of a client, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The host, as its user's clients see it.
pub struct Here<'a> {
    /// The user's home.
    pub home: PathBuf,
    /// Where the system's files begin: `/`, but in tests.
    pub root: PathBuf,
    /// Folders with programs, absolute.
    pub search: Vec<PathBuf>,
    /// The user's environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Here<'_> {
    /// This host. Programs below `repository` are left out: its files are an agent's.
    #[must_use]
    pub fn search(path: &str, repository: &Path) -> Vec<PathBuf> {
        let usable = |folder: &PathBuf| {
            folder.is_absolute()
                && !folder.starts_with(repository)
                && folder.canonicalize().is_ok_and(|real| !real.starts_with(repository))
        };
        std::env::split_paths(path).filter(usable).collect()
    }

    /// A file of the system.
    fn system(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Every program of this name, in the order of the search.
    fn programs(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        self.search.iter().map(move |folder| folder.join(name)).filter(|path| path.is_file())
    }
}

/// What one client says.
#[derive(Debug, Default)]
struct Said {
    /// Addresses as they are written, with where that is, in words.
    configured: Vec<(String, String)>,
    /// Addresses that the client has without any configuration.
    by_default: Vec<String>,
    /// The client, in words: `npm`, `pip or uv`.
    client: &'static str,
    /// How the user would name a registry to it.
    set_with: &'static str,
}

/// The names that can be looked up.
pub const KNOWN: [&str; 6] = ["apt", "cargo", "gem", "go", "npm", "pypi"];

/// Looks `registry:NAME` up on this host.
#[must_use]
pub fn look_up(name: &str, here: &Here<'_>) -> Lookup {
    let said = match name {
        "apt" => apt::look(here),
        "cargo" => cargo::look(here),
        "gem" => other::gem(here),
        "go" => other::go(here),
        "npm" => npm::look(here),
        "pypi" => pypi::look(here),
        _ => {
            let near = similar(name, KNOWN.into_iter());
            let near = near.map(|near| format!("did you mean `registry:{near}`? ")).unwrap_or_default();
            return Lookup::Unknown(format!("{near}this host is asked for {} only", KNOWN.join(", ")));
        }
    };
    answer(said)
}

fn answer(said: Said) -> Lookup {
    let mut refused = None;
    let mut read = |text: &str| match plain(text) {
        Ok(url) => Some(url),
        Err(why) => {
            refused = Some(why);
            None
        }
    };
    let mut configured = Vec::new();
    let mut sources: Vec<&str> = Vec::new();
    for (text, source) in &said.configured {
        if let Some(url) = read(text) {
            configured.push(url);
            sources.push(source);
        }
    }
    sources.dedup();
    // A scope or an extra index is beside the default one, which its client still asks.
    let by_default: Vec<RegistryUrl> = said.by_default.iter().filter_map(|text| read(text)).collect();
    if !by_default.is_empty() {
        sources.push("the default of ");
    }
    let urls = narrowed(configured.into_iter().chain(by_default.iter().cloned()).collect());
    if urls.is_empty() {
        let why = refused.map(|why| format!(" ({why})")).unwrap_or_default();
        let Said { client, set_with, .. } = said;
        return Lookup::Unknown(format!(
            "{client} says nothing on this host{why}: install it, or name the registry to it ({set_with})"
        ));
    }
    let words = |source: &&str| match *source {
        "the default of " => format!("the default of {} on this host", said.client),
        source => source.to_owned(),
    };
    let source = sources.iter().map(words).collect::<Vec<_>>().join(" and ");
    Lookup::Found(Registry { urls, source })
}

/// Each address once, and none that lies below another.
fn narrowed(urls: Vec<RegistryUrl>) -> Vec<RegistryUrl> {
    let within = |inner: &RegistryUrl, outer: &RegistryUrl| {
        (inner.host(), inner.port(), inner.protocol()) == (outer.host(), outer.port(), outer.protocol())
            && inner
                .path()
                .strip_prefix(outer.path())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut kept: Vec<RegistryUrl> = Vec::new();
    for url in urls {
        if kept.iter().any(|other| within(&url, other)) {
            continue;
        }
        kept.retain(|other| !within(other, &url));
        kept.push(url);
    }
    kept
}

/// An address as a client writes it: without prefix, credential and query.
fn plain(text: &str) -> Result<RegistryUrl, String> {
    let text = text.trim().trim_matches(['"', '\'']);
    if text.contains("${") {
        return Err("its address holds a variable".to_owned());
    }
    let text = text.strip_prefix("sparse+").unwrap_or(text);
    let cut = text.find(['?', '#', '{', '$']).unwrap_or(text.len());
    let text = &text[..cut];
    let (scheme, rest) = text.split_once("://").ok_or("its address is no URL")?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let host = rest[..slash].rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", &rest[slash..]).parse().map_err(|error| format!("{error}"))
}

/// A client's file, where it is there, is a file, and is not too long.
fn text(path: &Path) -> Option<String> {
    String::from_utf8(read_own(path, FILE_MAX).ok()?).ok()
}

/// A path as a person reads it.
fn shown(path: &Path, here: &Here<'_>) -> String {
    match path.strip_prefix(&here.home) {
        Ok(below) => format!("~/{}", below.display()),
        Err(_) => match path.strip_prefix(&here.root) {
            Ok(below) => format!("/{}", below.display()),
            Err(_) => path.display().to_string(),
        },
    }
}
