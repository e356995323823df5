//! Reading a lock file. It lies in the repository: an agent may have written it.

use std::collections::BTreeMap;

use super::{LOCK_FILE, Lock, Locked, LockedKit, LockedPackage, LockedSource, VERSION};
use crate::{
    kit::{
        elsewhere::{GitSource, Pin},
        findings::Findings,
        near::similar,
        parse,
        problem::{Code, Problem, quoted},
        sets::is_name,
        tree::{Key, Kind, Node},
    },
    model::{
        registry::RegistryUrl,
        template::{is_package_name, is_package_version},
    },
};

/// Most entries of one sort, and most addresses of one registry: far beyond use, far from what hurts.
const ENTRIES_MAX: usize = 1_000;
const URLS_MAX: usize = 20;
/// Longest source of a kit, in bytes.
const SOURCE_MAX: usize = 4_096;

/// Reads a lock file. `name` is how its user knows it. An empty file pins nothing.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(name: &str, bytes: &[u8]) -> Result<Lock, Vec<Problem>> {
    let (nodes, mut findings) = parse::documents(name, bytes);
    let lock = match nodes.as_slice() {
        [] => Lock::default(),
        [node] => Reader(&mut findings).document(node),
        [_, second, ..] => {
            let problem = findings.at(Code::Lock, second.head(), "a lock file is one document");
            findings.push(problem.help("run `cofferdam update`"));
            Lock::default()
        }
    };
    match findings.into_parts().0 {
        errors if errors.is_empty() => Ok(lock),
        errors => Err(errors),
    }
}

struct Reader<'a>(&'a mut Findings);

impl Reader<'_> {
    fn wrong(&mut self, node: &Node, message: impl Into<String>) {
        let problem = self.0.at(Code::Lock, node.head(), message);
        self.0.push(problem.help("`cofferdam update` writes the file anew"));
    }

    fn document(&mut self, node: &Node) -> Lock {
        let mut lock = Lock::default();
        match node.get("version").map(|version| &version.kind) {
            Some(Kind::Int(VERSION)) => {}
            // What a later form means is not known: nothing of it is read.
            Some(Kind::Int(newer)) if *newer > VERSION => {
                let message = format!("{LOCK_FILE} has version {newer}, this release knows {VERSION}");
                let problem = self.0.at(Code::Lock, node.head(), message);
                self.0.push(problem.help("use the newer release that wrote it"));
                return lock;
            }
            _ => {
                self.wrong(node, format!("a lock file begins with `version: {VERSION}`"));
                return lock;
            }
        }
        for (key, value) in self.entries(node, LOCK_FILE) {
            match key.text.as_str() {
                "version" => {}
                "registries" => {
                    for (name, value) in self.named(value, "registries") {
                        let locked = self.registry(name, value);
                        lock.registries.extend(locked.map(|locked| (name.text.clone(), locked)));
                    }
                }
                "kits" => {
                    for (name, value) in self.named(value, "kits") {
                        let locked = self.kit(name, value);
                        lock.kits.extend(locked.map(|locked| (name.text.clone(), locked)));
                    }
                }
                "packages" => {
                    for (image, value) in self.named(value, "packages") {
                        let packages = self.packages(&image.text, value);
                        lock.packages.insert(image.text.clone(), packages);
                    }
                }
                "sources" => {
                    for (key, value) in self.entries(value, "`sources`") {
                        lock.sources.extend(self.source(key, value));
                    }
                }
                other => self.unknown(key, other, &["version", "registries", "kits", "packages", "sources"]),
            }
        }
        lock
    }

    fn unknown(&mut self, key: &Key, written: &str, known: &[&'static str]) {
        let problem = self.0.at(Code::UnknownKey, key.span, format!("unknown key {}", quoted(written)));
        self.0.push(match similar(written, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("known here: {}", known.join(", "))),
        });
    }

    fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        match &node.kind {
            Kind::Map(entries) if entries.len() <= ENTRIES_MAX => entries,
            Kind::Map(_) => {
                self.wrong(node, format!("{what} has more than {ENTRIES_MAX} entries"));
                &[]
            }
            kind => {
                self.wrong(node, format!("{what} is a mapping, not {}", kind.word()));
                &[]
            }
        }
    }

    /// Entries whose keys are names as the format has them.
    fn named<'n>(&mut self, node: &'n Node, what: &str) -> Vec<&'n (Key, Node)> {
        let mut named = Vec::new();
        for entry in self.entries(node, what) {
            if is_name(&entry.0.text) {
                named.push(entry);
                continue;
            }
            let message = format!("{} is no name", quoted(&entry.0.text));
            let problem = self.0.at(Code::Lock, entry.0.span, message);
            self.0.push(problem.help("a name has 1 to 63 lower-case letters, digits and inner hyphens"));
        }
        named
    }

    fn registry(&mut self, name: &Key, node: &Node) -> Option<Locked> {
        let Kind::List(items) = &node.kind else {
            self.wrong(node, format!("`registries.{}` is a list of addresses", name.text));
            return None;
        };
        if items.is_empty() || items.len() > URLS_MAX {
            self.wrong(node, format!("a registry has 1 to {URLS_MAX} addresses"));
            return None;
        }
        let mut urls: Vec<RegistryUrl> = Vec::new();
        for item in items {
            match item.text().map(str::parse::<RegistryUrl>) {
                Some(Ok(url)) => urls.push(url),
                Some(Err(error)) => self.wrong(item, format!("no address of a registry: {error}")),
                None => self.wrong(item, format!("an address is text, not {}", item.kind.word())),
            }
        }
        (urls.len() == items.len()).then_some(Locked { urls, line: name.span.line })
    }

    fn packages(&mut self, image: &str, node: &Node) -> BTreeMap<String, LockedPackage> {
        let mut packages = BTreeMap::new();
        for (name, value) in self.entries(node, &format!("`packages.{image}`")) {
            if !is_package_name(&name.text) {
                let message = format!("{} is not the name of a package", quoted(&name.text));
                let problem = self.0.at(Code::Lock, name.span, message);
                self.0.push(problem.help("`cofferdam update` writes the file anew"));
                continue;
            }
            match value.text().filter(|version| is_package_version(version)) {
                Some(version) => {
                    let (version, line) = (version.to_owned(), name.span.line);
                    packages.insert(name.text.clone(), LockedPackage { version, line });
                }
                None => self.wrong(value, "this is not the version of a package, in quotes"),
            }
        }
        packages
    }

    fn kit(&mut self, name: &Key, node: &Node) -> Option<LockedKit> {
        let (mut source, mut digest) = (None, None);
        for (key, value) in self.entries(node, "a kit") {
            match (key.text.as_str(), value.text()) {
                ("source", Some(text)) if text.len() <= SOURCE_MAX => source = Some(text.to_owned()),
                ("digest", Some(text)) if is_hexadecimal(text, 64) => digest = Some(text.to_owned()),
                ("source", _) => self.wrong(value, "`source` is a short text"),
                ("digest", _) => self.wrong(value, "`digest` is a SHA-256 sum in 64 hexadecimal digits"),
                (other, _) => self.unknown(key, other, &["source", "digest"]),
            }
        }
        if let (Some(source), Some(digest)) = (source, digest) {
            return Some(LockedKit { source, digest, line: name.span.line });
        }
        self.wrong(node, "a kit has `source` and `digest`");
        None
    }

    fn source(&mut self, key: &Key, node: &Node) -> Option<(GitSource, LockedSource)> {
        let source = key.text.parse::<GitSource>().ok().filter(|source| source.to_string() == key.text);
        let (mut commit, mut digest) = (None, None);
        for (key, value) in self.entries(node, "a source") {
            match (key.text.as_str(), value.text()) {
                ("commit", Some(text)) if is_hexadecimal(text, 40) => commit = Some(text.to_owned()),
                ("digest", Some(text)) if is_hexadecimal(text, 64) => digest = Some(text.to_owned()),
                ("commit", _) => self.wrong(value, "`commit` is the id of a commit in 40 hexadecimal digits"),
                ("digest", _) => self.wrong(value, "`digest` is a SHA-256 sum in 64 hexadecimal digits"),
                (other, _) => self.unknown(key, other, &["commit", "digest"]),
            }
        }
        if let (Some(source), Some(commit), Some(digest)) = (source, commit, digest) {
            return Some((source, LockedSource { pin: Pin { commit, digest }, line: key.span.line }));
        }
        let message = format!("{} is no source of a kit with `commit` and `digest`", quoted(&key.text));
        let problem = self.0.at(Code::Lock, key.span, message);
        self.0.push(problem.help("`cofferdam update` writes the file anew"));
        None
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
