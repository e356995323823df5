//! apt: the addresses of this host's package sources. apt has no default of its own.

use std::{fs, path::PathBuf};

use super::{Here, Said, shown, text};

pub(super) fn look(here: &Here<'_>) -> Said {
    let mut configured: Vec<(String, String)> = Vec::new();
    for path in files(here) {
        let Some(text) = text(&path) else { continue };
        let deb822 = path.extension().is_some_and(|extension| extension == "sources");
        let addresses = if deb822 { paragraphs(&text) } else { one_line(&text) };
        for address in addresses.into_iter().filter(|address| address.starts_with("http")) {
            if configured.iter().all(|(other, _)| *other != address) {
                configured.push((address, shown(&path, here)));
            }
        }
    }
    Said { configured, by_default: Vec::new(), client: "apt", set_with: "/etc/apt/sources.list.d" }
}

fn files(here: &Here<'_>) -> Vec<PathBuf> {
    let parts = fs::read_dir(here.system("/etc/apt/sources.list.d")).into_iter().flatten().flatten();
    let known = |path: &PathBuf| path.extension().is_some_and(|found| found == "list" || found == "sources");
    let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).filter(known).collect();
    parts.sort();
    std::iter::once(here.system("/etc/apt/sources.list")).chain(parts).collect()
}

/// `deb [options] URI SUITE COMPONENT…`
fn one_line(text: &str) -> Vec<String> {
    let address = |line: &str| {
        let rest = line.split('#').next()?.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.1,
            None => rest,
        };
        rest.split_whitespace().next().map(str::to_owned)
    };
    text.lines().filter_map(address).collect()
}

/// Paragraphs of `Key: value`; those with `Enabled: no` or without `deb` among their types are passed over.
fn paragraphs(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut addresses, mut usable, mut last) = (Vec::new(), true, String::new());
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            found.extend(std::mem::take(&mut addresses).into_iter().filter(|_| usable));
            usable = true;
            continue;
        }
        let (key, value) = match line.split_once(':') {
            Some((key, value)) if !line.starts_with([' ', '\t']) => (key.trim().to_ascii_lowercase(), value),
            _ => (last.clone(), line),
        };
        let mut words = value.split_whitespace();
        match key.as_str() {
            "uris" => addresses.extend(words.map(str::to_owned)),
            "enabled" => usable &= words.next().is_none_or(|word| !word.eq_ignore_ascii_case("no")),
            "types" => usable &= words.any(|word| word == "deb"),
            _ => {}
        }
        last = key;
    }
    found
}
