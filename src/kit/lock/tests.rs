//! The lock file, written and read back; what is refused of it.

use super::{Lock, Locked, LockedKit, LockedPackage, read};
use crate::{
    kit::{GitSource, Pin, Problem},
    model::desired::KitUse,
};

fn lock() -> Lock {
    let urls = ["https://packages.example/npm/", "https://files.example/"];
    let npm = Locked { urls: urls.map(|url| url.parse().unwrap()).into(), line: 0 };
    let apt = Locked { urls: vec!["http://deb.example:8080/".parse().unwrap()], line: 0 };
    let mut lock =
        Lock { registries: [("npm".to_owned(), npm), ("apt".to_owned(), apt)].into(), ..Lock::default() };
    let digest = Some("0123456789abcdef".repeat(4));
    let uses = [
        KitUse { name: "review".into(), source: "kits/\"review\"".into(), digest, written: None },
        KitUse { name: "shell".into(), source: "built-in".into(), digest: None, written: None },
    ];
    lock.pin_kits(uses.iter());
    let package = |version: &str| LockedPackage { version: version.into(), line: 0 };
    let packages = [("jq".to_owned(), package("1.6-2.1")), ("g++".to_owned(), package("4:12.2.0-3"))];
    lock.packages.insert("debian-12".into(), packages.into());
    lock
}

fn without_lines(mut lock: Lock) -> Lock {
    lock.registries.values_mut().for_each(|locked| locked.line = 0);
    lock.kits.values_mut().for_each(|kit| kit.line = 0);
    lock.packages.values_mut().flat_map(|all| all.values_mut()).for_each(|package| package.line = 0);
    lock
}

#[test]
fn what_is_written_is_sorted_and_reads_back() {
    let text = lock().text();
    assert_eq!(
        text,
        "# What registries, kits and packages resolved to. Written by `cofferdam update`; commit it.\n\
         version: 1\nregistries:\n  apt:\n    - \"http://deb.example:8080/\"\n  npm:\n    - \"https://packages.example/npm/\"\n    \
         - \"https://files.example/\"\nkits:\n  review:\n    source: \"kits/\\\"review\\\"\"\n    digest: \
         \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\npackages:\n  debian-12:\n    \"g++\": \
         \"4:12.2.0-3\"\n    \"jq\": \"1.6-2.1\"\n"
    );
    let back = read("sandbox.lock", text.as_bytes()).unwrap();
    assert_eq!(
        (back.registries["npm"].line, back.kits["review"].line, back.packages["debian-12"]["jq"].line),
        (6, 10, 16)
    );
    assert_eq!(without_lines(back), lock());
    assert_eq!(read("sandbox.lock", Lock::default().text().as_bytes()).unwrap(), Lock::default());
    assert_eq!(read("sandbox.lock", b"").unwrap(), Lock::default());
}

#[test]
fn sources_are_pinned_in_one_spelling_and_read_back() {
    let pin = Pin { commit: "ab".repeat(20), digest: "cd".repeat(32) };
    let source: GitSource = "git+https://KITS.example/acme/#dir=review&ref=v1".parse().unwrap();
    let mut lock = Lock::default();
    lock.pin_sources(&[(source, pin)].into());
    let text = lock.text();
    let written = "sources:\n  \"git+https://kits.example/acme#ref=v1&dir=review\":\n    commit: \"abab";
    assert!(text.contains(written), "{text}");
    let mut back = read("sandbox.lock", text.as_bytes()).unwrap();
    back.sources.values_mut().for_each(|locked| locked.line = 0);
    assert_eq!(back, lock);
    assert_eq!(Lock::default().changes(&lock)[0].what, "git+https://kits.example/acme#ref=v1&dir=review");
}

/// One kit with two sets of arguments is pinned with both, in whatever order they come.
#[test]
fn a_kit_that_is_used_twice_is_pinned_once() {
    let kit = |digest: &str| KitUse {
        name: "a".into(),
        source: "kits/a".into(),
        digest: Some(digest.repeat(32)),
        written: None,
    };
    let pinned = |uses: &[KitUse]| {
        let mut lock = Lock::default();
        lock.pin_kits(uses.iter());
        lock
    };
    let both = pinned(&[kit("aa"), kit("bb"), kit("aa")]);
    assert_eq!(both, pinned(&[kit("bb"), kit("aa")]));
    assert_eq!(pinned(&[kit("aa"), kit("aa")]).kits["a"].digest, "aa".repeat(32));
    assert_ne!(both, pinned(&[kit("aa")]));
    let differing = |uses: &[KitUse], lock: &Lock| super::differing_kits(uses.iter(), None, Some(lock)).len();
    assert_eq!(differing(&[kit("bb"), kit("aa")], &both), 0);
    assert_eq!(differing(&[kit("bb"), kit("cc")], &both), 1);
    assert_eq!(differing(&[kit("aa")], &Lock::default()), 1);
}

#[test]
fn differences_are_named() {
    let mut after = lock();
    after.registries.remove("apt");
    after.registries.get_mut("npm").unwrap().urls.pop();
    after
        .kits
        .insert("more".into(), LockedKit { source: "kits/more".into(), digest: "ab".repeat(32), line: 0 });
    let changes = lock().changes(&after);
    let shown: Vec<_> =
        changes.iter().map(|it| (it.what.as_str(), it.before.is_some(), it.after.is_some())).collect();
    assert_eq!(
        shown,
        [("kit more", false, true), ("registry:apt", true, false), ("registry:npm", true, true)]
    );
    assert!(after.changes(&after).is_empty());
    let mut newer = lock();
    if let Some(package) = newer.packages.get_mut("debian-12").and_then(|all| all.get_mut("jq")) {
        package.version = "1.7-1".into();
    }
    let change = lock().changes(&newer).remove(0);
    let words = (change.what.as_str(), change.before.as_deref(), change.after.as_deref());
    assert_eq!(words, ("package jq on debian-12", Some("1.6-2.1"), Some("1.7-1")));
}

#[test]
fn a_lock_that_was_written_by_somebody_else_is_refused_with_its_line() {
    for (text, expected) in [
        ("registries: {}\n", "l:1:1: a lock file begins with `version: 1`"),
        ("version: 2\n", "l:1:1: sandbox.lock has version 2, this release knows 1"),
        ("version: 1\nregistrys: {}\n", "l:2:1: unknown key `registrys` (did you mean `registries`?)"),
        ("version: 1\nregistries: [a]\n", "l:2:14: registries is a mapping, not a list"),
        ("version: 1\nregistries: {npm: x}\n", "l:2:19: `registries.npm` is a list of addresses"),
        ("version: 1\nregistries: {npm: []}\n", "l:2:19: a registry has 1 to 20 addresses"),
        (
            "version: 1\nregistries: {npm: [\"https://a:b@c.example/\"]}\n",
            "l:2:20: no address of a registry: an address here holds no user",
        ),
        ("version: 1\nregistries: {\"a b\": [\"https://c.example/\"]}\n", "l:2:14: `a b` is no name"),
        ("version: 1\nkits: {a: {source: x, digest: zz}}\n", "l:2:31: `digest` is a SHA-256 sum"),
        ("version: 1\nkits: {a: {source: x}}\n", "l:2:12: a kit has `source` and `digest`"),
        ("version: 1\npackages: [jq]\n", "l:2:12: packages is a mapping, not a list"),
        (
            "version: 1\npackages: {debian-12: {jq: 1.6}}\n",
            "l:2:28: this is not the version of a package, in quotes",
        ),
        ("version: 1\npackages: {debian-12: {jq: \"1 --x\"}}\n", "l:2:28: this is not the version"),
        ("version: 1\npackages: {debian-12: {jq: \"1,vim\"}}\n", "l:2:28: this is not the version"),
        (
            "version: 1\npackages: {debian-12: {\"jq,vim\": \"1\"}}\n",
            "l:2:24: `jq,vim` is not the name of a package",
        ),
        ("version: 1\npackages: {debian-12: {-o: \"1\"}}\n", "l:2:24: `-o` is not the name of a package"),
        ("version: 1\nsources: {x: {commit: a, digest: b}}\n", "l:2:11: `x` is no source of a kit"),
        (
            "version: 1\nsources: {\"git+https://K.example/k\": {}}\n",
            "l:2:11: `git+https://K.example/k` is no source",
        ),
        (
            "version: 1\nsources: {\"git+https://k.example/k\": {commit: HEAD}}\n",
            "l:2:47: `commit` is the id of a commit",
        ),
        ("version: 1\n---\nversion: 1\n", "l:3:1: a lock file is one document"),
        ("version: 1\nversion: 1\n", "l:2:1: the key `version` stands twice"),
        ("version: &a 1\n", "l:1:13: anchors"),
    ] {
        let problems: Vec<String> =
            read("l", text.as_bytes()).expect_err(text).iter().map(Problem::to_line).collect();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{text}: {problems:#?}");
    }
    let many: String = (0..1_001).map(|n| format!("  a{n}: [\"https://a.example/\"]\n")).collect();
    assert!(read("l", format!("version: 1\nregistries:\n{many}").as_bytes()).is_err());
}

#[test]
fn of_another_base_what_differs_is_shown() {
    let base = |bash: &str| {
        let package = |version: &str| LockedPackage { version: version.into(), line: 0 };
        let packages = [("bash", bash), ("base-files", "12.4"), ("jq", "1.6-2.1")];
        let packages = packages.map(|(name, version)| (name.to_owned(), package(version)));
        Lock { packages: [("debian-12".to_owned(), packages.into())].into(), ..Lock::default() }
    };
    let shown = |before: &Lock, after: &Lock| -> Vec<String> {
        let words = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
        let changes = before.changes(after).into_iter();
        changes.map(|it| format!("{}: {} → {}", it.what, words(it.before), words(it.after))).collect()
    };
    assert_eq!(
        shown(&Lock::default(), &base("5.2-2")),
        [
            "image debian-12: nothing → base-files 12.4, bash 5.2-2",
            "package jq on debian-12: nothing → 1.6-2.1"
        ]
    );
    assert_eq!(shown(&base("5.2-2"), &base("5.2-3")), ["image debian-12: bash 5.2-2 → bash 5.2-3"]);
    assert_eq!(shown(&base("5.2-2"), &base("5.2-2")), Vec::<String>::new());
}
