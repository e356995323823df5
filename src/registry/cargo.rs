//! cargo: what its default source is replaced with, else the address that is built into it.
//!
//! cargo prints its default nowhere, so it is read out of the program. Where packages lie is said by the index; cargo
//! keeps that answer in its home.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Here, Said,
    lines::{Line, lines},
    shown, text,
};
use crate::store::file::read_own;

/// How the address of an index that is asked over HTTP begins.
const SPARSE: &[u8] = b"sparse+https://";
/// Name of the default source in configuration files.
const DEFAULT_SOURCE: &str = "crates-io";
/// Longest chain of replacements.
const CHAIN_MAX: usize = 8;
/// Largest program that is searched, in bytes.
const PROGRAM_MAX: u64 = 256 << 20;

pub(super) fn look(here: &Here<'_>) -> Said {
    let home = (here.env)("CARGO_HOME").map_or_else(|| here.home.join(".cargo"), PathBuf::from);
    let mut configured = Vec::new();
    for name in ["config.toml", "config"] {
        let path = home.join(name);
        let Some(text) = text(&path) else { continue };
        configured.extend(replaced(&lines(&text)).map(|url| (url, shown(&path, here))));
        break;
    }
    let built_in = if configured.is_empty() { built_in(here) } else { None };
    let index = configured.first().map(|(url, _)| url.clone()).or(built_in.clone());
    let files: Vec<String> = index.iter().flat_map(|index| beside(index, &home)).collect();
    if let Some((_, source)) = configured.first().cloned() {
        configured.extend(files.iter().map(|url| (url.clone(), source.clone())));
    }
    let by_default =
        built_in.into_iter().flat_map(|index| std::iter::once(index).chain(files.clone())).collect();
    Said {
        configured,
        by_default,
        client: "cargo",
        set_with: "`[source.crates-io]` with `replace-with` in ~/.cargo/config.toml",
    }
}

/// The address that stands in for the default source. Folders and git indexes are none.
fn replaced(lines: &[Line]) -> Option<String> {
    let value = |source: &str, key: &str| {
        let section = format!("source.{source}");
        lines.iter().find(|line| line.section == section && line.key == key).map(|line| line.value.clone())
    };
    let mut source = DEFAULT_SOURCE.to_owned();
    for _ in 0..CHAIN_MAX {
        match value(&source, "replace-with") {
            Some(next) => source = next,
            None => return value(&source, "registry").filter(|url| url.starts_with("sparse+")),
        }
    }
    None
}

/// The default that is built into the first cargo that has one; rustup puts a small program of its own in front.
fn built_in(here: &Here<'_>) -> Option<String> {
    let rustup = (here.env)("RUSTUP_HOME").map_or_else(|| here.home.join(".rustup"), PathBuf::from);
    let mut behind: Vec<PathBuf> = fs::read_dir(rustup.join("toolchains"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/cargo"))
        .collect();
    behind.sort();
    here.programs("cargo").chain(behind).find_map(|program| address_in(&program))
}

fn address_in(program: &Path) -> Option<String> {
    let bytes = read_own(program, PROGRAM_MAX).ok()?;
    let mut rest = bytes.as_slice();
    while let Some(at) = find(rest, SPARSE) {
        let after = &rest[at + SPARSE.len()..];
        let host = after
            .iter()
            .take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte));
        let length = host.count();
        // A whole host and the slash behind it: other texts of the program only begin alike.
        if after.get(length) == Some(&b'/') && after[..length].contains(&b'.') {
            return std::str::from_utf8(&after[..length]).ok().map(|host| format!("https://{host}/"));
        }
        rest = after;
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    // By the rarer byte first: the programs have some 40 MB.
    let plus = wanted.iter().position(|byte| *byte == b'+')?;
    let mut from = plus;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'+') {
        let start = from + at - plus;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        from += at + 1;
    }
    None
}

/// Where packages of an index lie, as the index told cargo when it was last asked.
fn beside(index: &str, home: &Path) -> Vec<String> {
    let bare = index.trim_start_matches("sparse+");
    let host = bare.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let folders = fs::read_dir(home.join("registry/index")).into_iter().flatten().flatten();
    let mut found: Vec<String> = Vec::new();
    for folder in folders {
        let name = folder.file_name();
        let own =
            name.to_str().and_then(|name| name.strip_prefix(host)).is_some_and(|rest| rest.starts_with('-'));
        let config = own.then(|| text(&folder.path().join("config.json"))).flatten();
        let config: Option<serde_json::Value> = config.and_then(|text| serde_json::from_str(&text).ok());
        let downloads = config.as_ref().and_then(|config| config["dl"].as_str());
        found.extend(downloads.filter(|url| url.starts_with("http")).map(str::to_owned));
    }
    found.sort();
    found.dedup();
    found
}
