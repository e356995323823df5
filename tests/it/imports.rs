//! Which module may import which (`DESIGN.md`, section 6), and where `unsafe` may stand. Change the table there and
//! here together.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::source::{Token, tokens};

const L0: &[&str] = &["model", "wire", "sys"];
const L1: &[&str] = &["kit", "policy", "plan", "lifecycle", "audit::chain", "store"];
const ADAPTERS: &[&str] =
    &["vmm", "engine", "devices", "egress", "secret", "review", "audit", "template", "registry", "remote"];
/// Adapters that work in the command's own process: what this host has, reading the trail, names of secrets.
const OF_THE_COMMAND: &[&str] =
    &["template", "engine", "audit", "review", "secret", "registry", "remote", "vmm::probe"];
/// Modules that may hold `unsafe`: system calls, memory of the guest, and the guest's own system calls.
const UNSAFE_ISLANDS: &[&str] = &["sys", "vmm", "guest::sys"];

/// What tests of every module may use and nothing else: a meter of the work that code does, which needs `unsafe`.
const OF_TESTS: &[&str] = &["sys::meter"];

/// A module and what it may import beside itself; the longest name that fits counts.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut rows: Vec<(&str, Vec<&str>)> = L0.iter().map(|module| (*module, vec![])).collect();
    rows.extend(L1.iter().map(|module| (*module, vec!["model"])));
    rows.retain(|(module, _)| *module != "store");
    rows.push(("store", vec!["model", "sys"]));
    let below = [L0, L1].concat();
    rows.extend(ADAPTERS.iter().map(|module| (*module, below.clone())));
    rows.push(("reconcile", below.clone()));
    rows.push(("zones", [&below, ADAPTERS].concat()));
    rows.push(("cli", [&below, &["reconcile"][..], OF_THE_COMMAND].concat()));
    // `main.rs` dispatches.
    rows.push(("main", vec!["cli", "zones"]));
    rows.push(("guest", vec!["wire"]));
    rows
}

/// One reference to another module of ours.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    path: Vec<String>,
    line: usize,
    /// The module that it stands in, modules within the file included.
    here: Vec<String>,
}

/// Everything in `src` that the table forbids, as lines for a person.
fn violations(src: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in rust_files(src) {
        let relative = file.strip_prefix(src).expect("it was found below it").to_owned();
        let text = fs::read_to_string(&file).expect("sources are readable UTF-8");
        let module = module_of(&relative);
        let tokens = tokens(&text);
        let place = |line: usize| format!("src/{}:{line}", relative.display());
        for import in imports(&module, &tokens) {
            if let Err(why) = judge(&import.here, &import.path) {
                found.push(format!("{}: {}: {why}", place(import.line), import.path.join("::")));
            }
        }
        for token in tokens.iter().filter(|token| token.text == "unsafe") {
            if !UNSAFE_ISLANDS.iter().any(|island| is_within(&module.join("::"), island)) {
                found.push(format!("{}: `unsafe` outside {}", place(token.line), UNSAFE_ISLANDS.join(", ")));
            }
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.trim().starts_with("#[path")) {
            let target = line.split('"').nth(1).unwrap_or_default();
            let shared = relative == Path::new("guest/main.rs") && target == "../wire/mod.rs";
            // A module's tests may lie beside it; where they count is `module_of`'s business.
            if !shared && (target.contains('/') || !target.ends_with("_tests.rs")) {
                found.push(format!("{}: #[path] goes round the table", place(number + 1)));
            }
        }
    }
    found.sort();
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder stays").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `a/b_tests.rs` is `a::b::tests`; `lib.rs` is the root; `main.rs` and the guest are crates with a row each.
fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let is_root =
        path == ["lib"] || path.last().is_some_and(|last| last == "mod") || path == ["guest", "main"];
    if is_root {
        path.pop();
    }
    if let Some(tested) = path.last().and_then(|last| last.strip_suffix("_tests")).map(str::to_owned) {
        path.pop();
        path.extend([tested, "tests".to_owned()]);
    }
    path
}

fn judge(module: &[String], target: &[String]) -> Result<(), String> {
    let (module, target) = (module.join("::"), target.join("::"));
    if module.is_empty() || target.is_empty() {
        return Ok(());
    }
    let rows = rows();
    let row = |name: &str| {
        rows.iter().filter(|(row, _)| is_within(name, row)).max_by_key(|(row, _)| row.len()).cloned()
    };
    let Some((from, allowed)) = row(&module) else {
        return Err(format!("`{module}` has no row in the table of imports"));
    };
    let Some((to, _)) = row(&target) else {
        return Err(format!("`{target}` has no row in the table of imports"));
    };
    // Tests of a module that has a row of its own may use the fixtures of the folder it lies in.
    let tests = module.split("::").any(|part| part == "tests");
    let folder = |name: &str| name.split("::").next().map(str::to_owned);
    if tests && OF_TESTS.iter().any(|shared| is_within(&target, shared)) {
        return Ok(());
    }
    if tests && folder(&module) == folder(&target) {
        return Ok(());
    }
    if from == to || allowed.iter().any(|allowed| is_within(&target, allowed)) {
        return Ok(());
    }
    // `audit` is above `audit::chain` and declares it; a parent may always name its child.
    if is_within(to, from) { Ok(()) } else { Err(format!("`{from}` may not import `{to}`")) }
}

fn is_within(module: &str, ancestor: &str) -> bool {
    module.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that starts at `crate`, `super`, `self` or our own crate's name, with groups in braces spread out, as
/// absolute paths.
fn imports(module: &[String], tokens: &[Token]) -> Vec<Import> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        let text = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(_, opened)| *opened < depth + 1);
            }
            "mod" if text(2) == "{" => inline.push((text(1).to_owned(), depth + 1)),
            "crate" if text(1) == "as" => {
                found.push(Import { path: vec!["crate as".into()], line: token.line, here: module.to_vec() })
            }
            "crate" | "super" | "self" | "cofferdam" if text(1) == "::" && !follows_path(tokens, at) => {
                let nested = inline.iter().map(|(name, _)| name.clone());
                let here: Vec<String> = module.iter().cloned().chain(nested).collect();
                let base = match token.text.as_str() {
                    "crate" if module.first().is_some_and(|first| first == "guest") => vec!["guest".into()],
                    "crate" | "cofferdam" => Vec::new(),
                    "super" => here[..here.len().saturating_sub(1)].to_vec(),
                    _ => here.clone(),
                };
                let from = found.len();
                spread(base, tokens, at + 2, &mut found);
                found[from..].iter_mut().for_each(|import| import.here.clone_from(&here));
            }
            _ => {}
        }
    }
    found.iter_mut().for_each(|import| shared_with_the_guest(&mut import.path));
    found
}

/// `a::self::b` and `$crate::super::x` are parts of a path that was seen already.
fn follows_path(tokens: &[Token], at: usize) -> bool {
    at > 0 && tokens[at - 1].text == "::"
}

/// The guest includes `wire` as a module of its own.
fn shared_with_the_guest(path: &mut Vec<String>) {
    if path.len() > 1 && path[0] == "guest" && path[1] == "wire" {
        path.remove(0);
    }
}

/// Follows a path or a tree of paths from `tokens[at]`; returns where it ends.
fn spread(mut base: Vec<String>, tokens: &[Token], mut at: usize, found: &mut Vec<Import>) -> usize {
    loop {
        let Some(token) = tokens.get(at) else { return at };
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = spread(base.clone(), tokens, at, found);
                    // Past `as name` and the comma.
                    while tokens.get(at).is_some_and(|token| token.text != "}" && token.text != ",") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            "super" => drop(base.pop()),
            "self" => {}
            word => base.push(word.to_owned()),
        }
        if tokens.get(at + 1).is_some_and(|token| token.text == "::") {
            at += 2;
        } else {
            found.push(Import { path: base, line: token.line, here: Vec::new() });
            return at + 1;
        }
    }
}

#[test]
fn imports_go_in_one_direction() {
    let found = violations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(found.is_empty(), "the table in DESIGN.md, section 6, forbids:\n{}", found.join("\n"));
}

/// A tree of one file; what is found in it.
fn check(file: &str, source: &str) -> Vec<String> {
    let write = || {
        let tree = tempfile::tempdir()?;
        let path = tree.path().join(file);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, source)?;
        Ok::<_, std::io::Error>(tree)
    };
    let tree = write().expect("the temporary folder takes a file");
    violations(tree.path())
}

#[test]
fn a_bad_import_is_caught_in_every_form() {
    for (file, source) in [
        ("model/name.rs", "use crate::sys::handoff;"),
        ("model/name.rs", "use super::super::sys;"),
        ("policy/mod.rs", "use crate::{model::rule, store::Record};"),
        ("policy/mod.rs", "use crate::{model::{self, rule}, kit::{Problem as P, tree}};"),
        ("policy/mod.rs", "fn f() { let x = crate::egress::open(); }"),
        ("policy/mod.rs", "mod inner { use super::super::kit; }"),
        ("policy/mod.rs", "mod inner { mod deep {} use super::super::kit::x; }"),
        ("egress/http.rs", "#[cfg(test)] mod tests { use crate::secret::seal; }"),
        ("engine/qemu.rs", "use crate::vmm::probe;"),
        ("audit/chain.rs", "use crate::wire::frame;"),
        ("audit/chain.rs", "use super::segment::Trail;"),
        ("audit/chain_tests.rs", "use crate::store;"),
        ("engine/mod.rs", "#[path = \"../vmm/x_tests.rs\"]\nmod x;"),
        ("reconcile/mod.rs", "use crate::template::ensure;"),
        ("zones/keeper.rs", "use crate::cli::failure;"),
        ("cli/run.rs", "use crate::egress;"),
        ("cli/run.rs", "use crate::vmm::memory;"),
        ("main.rs", "fn main() { cofferdam::store::open(); }"),
        ("guest/net.rs", "use cofferdam::model;"),
        ("guest/net.rs", "#[path = \"../sys/mod.rs\"]\nmod sys;"),
        ("novel/mod.rs", "use crate::model;"),
        ("model/mod.rs", "use crate as ours;"),
        ("egress/mod.rs", "fn f() { unsafe { g() } }"),
        ("guest/main.rs", "unsafe fn f() {}"),
    ] {
        assert!(!check(file, source).is_empty(), "{file}: {source}");
    }
    assert_eq!(
        check("model/name.rs", "\nuse crate::sys::handoff;"),
        ["src/model/name.rs:2: sys::handoff: `model` may not import `sys`"]
    );
}

#[test]
fn good_imports_pass() {
    for (file, source) in [
        (
            "policy/mod.rs",
            "use crate::model::rule::{self, Layer}; use self::decide::x; pub use super::policy::y;",
        ),
        ("policy/decide.rs", "use super::index; mod tests { use super::*; use super::super::index; }"),
        ("policy/mod.rs", "// crate::egress\nconst X: &str = \"crate::egress\"; /* super::super::kit */"),
        ("store/mod.rs", "use crate::{model, sys::lock};"),
        ("audit/segment.rs", "use super::chain; use crate::{store, wire};"),
        ("audit/chain.rs", "#[cfg(test)] mod tests { use crate::audit::fixture; use super::super::trail; }"),
        ("audit/verify.rs", "#[path = \"verify_tests.rs\"]\nmod tests;"),
        ("engine/qemu_tests.rs", "use super::super::machine; use super::x;"),
        ("egress/mod.rs", "use crate::{audit::chain, policy};"),
        ("cli/doctor.rs", "use crate::{template, vmm::probe, reconcile};"),
        ("main.rs", "fn main() { cofferdam::zones::main(); cofferdam::cli::main() }"),
        ("guest/main.rs", "#[path = \"../wire/mod.rs\"]\nmod wire; use crate::wire::boot; use crate::net;"),
        ("guest/sys.rs", "unsafe fn f() {}"),
        ("lib.rs", "pub use crate::cli::x;"),
    ] {
        assert_eq!(check(file, source), Vec::<String>::new(), "{file}: {source}");
    }
}
