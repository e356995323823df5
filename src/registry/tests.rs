//! Look-ups against hosts made of a few files and programs.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;

/// A host in a folder: `home`, `root`, and programs in `bin`.
struct Fake {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Fake {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: BTreeMap::new() }
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn program(self, name: &str, script: &str) -> Self {
        let path = self.folder.path().join("bin").join(name);
        let this = self.file(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        this
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn look_up(&self, name: &str) -> Lookup {
        let path = self.folder.path();
        let env = |name: &str| self.env.get(name).cloned();
        // Nothing of the machine that runs the test.
        let search = vec![path.join("bin")];
        look_up(name, &Here { home: path.join("home"), root: path.join("root"), search, env: &env })
    }

    fn found(&self, name: &str) -> (Vec<String>, String) {
        match self.look_up(name) {
            Lookup::Found(found) => (found.urls.iter().map(ToString::to_string).collect(), found.source),
            other => panic!("{name}: {other:?}"),
        }
    }

    fn unknown(&self, name: &str) -> String {
        match self.look_up(name) {
            Lookup::Unknown(why) => why,
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[track_caller]
fn is(found: (Vec<String>, String), urls: &[&str], source: &str) {
    assert_eq!((found.0, found.1.as_str()), (urls.iter().map(|url| (*url).to_owned()).collect(), source));
}

/// The programs of a test that must not be asked.
fn silent() -> Fake {
    let fake = Fake::new();
    ["npm", "python3", "python", "go", "gem"]
        .into_iter()
        .fold(fake, |fake, name| fake.program(name, "exit 1"))
}

#[test]
fn npm_says_it_in_its_file_or_by_itself() {
    let own = silent().file(
        "home/.npmrc",
        "registry=https://user:hunter2@npm.corp.example/repo/\n@acme:registry = \"https://acme.example/\"\n\
         //npm.corp.example/repo/:_authToken=npm_secret\n",
    );
    is(own.found("npm"), &["https://npm.corp.example/repo/", "https://acme.example/"], "~/.npmrc");
    let system = silent().file("root/etc/npmrc", "registry=http://cache.example:4873\n");
    is(system.found("npm"), &["http://cache.example:4873/"], "/etc/npmrc");
    is(
        silent().env("NPM_CONFIG_REGISTRY", "https://env.example").found("npm"),
        &["https://env.example/"],
        "$NPM_CONFIG_REGISTRY",
    );
    let asked = Fake::new()
        .program("npm", "set -- \"$HOME\"/.n* \"$HOME\"/*; [ -d \"$HOME\" ] && [ ! -e \"$1$2\" ] && [ \"$PWD\" = / ] && echo https://default.example/");
    is(asked.found("npm"), &["https://default.example/"], "the default of npm on this host");
    // A scope of the user's is beside the default.
    let scoped = asked.file("home/.npmrc", "@acme:registry=https://acme.example/\n");
    is(
        scoped.found("npm"),
        &["https://acme.example/", "https://default.example/"],
        "~/.npmrc and the default of npm on this host",
    );
}

#[test]
fn pip_and_uv_say_where_the_index_and_the_files_are() {
    let pip = silent().file(
        "home/.config/pip/pip.conf",
        "[global]\nindex-url = https://t:o@py.corp.example/api/pypi/all/simple/\nextra-index-url =\n  https://more.example/simple\n",
    );
    is(
        pip.found("pypi"),
        &["https://py.corp.example/api/pypi/all/", "https://more.example/"],
        "~/.config/pip/pip.conf",
    );
    let uv = silent()
        .file("home/.config/uv/uv.toml", "[[index]]\nurl = \"https://uv.example/simple\"\ndefault = true\n");
    is(uv.found("pypi"), &["https://uv.example/"], "~/.config/uv/uv.toml");
    let asked = Fake::new().program(
        "python3",
        "[ \"$1\" = -I ] && printf 'https://index.example/simple\\nhttps://files.example/\\n'",
    );
    is(
        asked.found("pypi"),
        &["https://index.example/simple/", "https://files.example/"],
        "the default of pip on this host",
    );
}

#[test]
fn cargo_is_replaced_in_its_file_or_built_in() {
    let index = r#"{"dl": "https://files.example/crates/{crate}", "api": "https://x.example"}"#;
    let replaced = Fake::new()
        .file("home/.cargo/config.toml", "[source.crates-io]\nreplace-with = \"corp\"\n[source.corp]\nregistry = \"sparse+https://cargo.corp.example/index/\"\n")
        .file("home/.cargo/registry/index/cargo.corp.example-0011/config.json", index);
    is(
        replaced.found("cargo"),
        &["https://cargo.corp.example/index/", "https://files.example/crates/"],
        "~/.cargo/config.toml",
    );
    let built_in = Fake::new()
        .file(
            "home/.rustup/toolchains/stable/bin/cargo",
            "\u{7f}ELF+ sparse+https://iints sparse+https://index.example/x",
        )
        .file("home/.cargo/registry/index/index.example-0011/config.json", index)
        .file(
            "home/.cargo/registry/index/index.example.evil-0011/config.json",
            r#"{"dl": "https://evil.example/"}"#,
        );
    is(
        built_in.found("cargo"),
        &["https://index.example/", "https://files.example/crates/"],
        "the default of cargo on this host",
    );
}

#[test]
fn apt_has_its_sources() {
    let host = Fake::new()
        .file("root/etc/apt/sources.list", "# deb http://no.example/ a b\ndeb [arch=amd64 signed-by=/x] https://u:p@one.example/debian bookworm main\ndeb-src http://src.example/ a b\n")
        .file("root/etc/apt/sources.list.d/two.sources", "Types: deb\nURIs: http://two.example/debian\n  http://three.example/\nSuites: a\n\nTypes: deb-src\nURIs: http://src.example/\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/\n")
        .file("root/etc/apt/sources.list.d/three.list.off", "deb http://no.example/ a b\n")
        .file("root/etc/apt/sources.list.d/cd.list", "deb cdrom:[x]/ a b\n");
    is(
        host.found("apt"),
        &["https://one.example/debian/", "http://two.example/debian/", "http://three.example/"],
        "/etc/apt/sources.list and /etc/apt/sources.list.d/two.sources",
    );
}

#[test]
fn go_and_gem_say_it_themselves() {
    let go = Fake::new()
        .program("go", "[ \"$GOENV\" = off ] && printf 'https://proxy.example,direct\\nsums.example\\n'");
    is(
        go.found("go"),
        &["https://proxy.example/", "https://sums.example/"],
        "the default of go on this host",
    );
    let own =
        silent().file("home/.config/go/env", "GOPROXY=https://corp.example/go|https://other.example,off\n");
    is(own.found("go"), &["https://corp.example/go/", "https://other.example/"], "~/.config/go/env");
    let gem = Fake::new().program("gem", "printf '*** CURRENT SOURCES ***\\n\\nhttps://gems.example/\\n'");
    is(gem.found("gem"), &["https://gems.example/"], "the default of gem on this host");
}

#[test]
fn where_nothing_is_found_the_ways_out_are_named() {
    let host = silent();
    assert_eq!(
        host.unknown("npm"),
        "npm says nothing on this host: install it, or name the registry to it (`npm config set registry URL`)"
    );
    assert_eq!(
        host.unknown("apt"),
        "apt says nothing on this host: install it, or name the registry to it (/etc/apt/sources.list.d)"
    );
    let meant = "did you mean `registry:npm`? this host is asked for apt, cargo, gem, go, npm, pypi only";
    assert_eq!(host.unknown("nmp"), meant);
    assert_eq!(host.unknown("maven"), "this host is asked for apt, cargo, gem, go, npm, pypi only");
    let variable = silent().file("home/.npmrc", "registry=https://${HOST}/\n");
    assert!(variable.unknown("npm").contains("(its address holds a variable)"));
    let number = silent().file("home/.npmrc", "registry=http://127.0.0.1:4873/\n");
    assert!(number.unknown("npm").contains("no number"), "{}", number.unknown("npm"));
}

/// A program that hangs, floods, or answers with something else names no registry, and does not hold the command up.
#[test]
fn a_client_that_misbehaves_is_left() {
    for script in [
        "exec /usr/bin/yes https://flood.example/",
        "echo no address",
        "printf '\\377'",
        "echo https://failed.example/; exit 3",
    ] {
        let host = Fake::new().program("npm", script);
        host.unknown("npm");
    }
}

/// What an agent can write is no program of ours: folders of the repository, also over a link, and relative ones.
#[test]
fn what_a_client_writes_does_not_stay() {
    let script = "echo x > \"$HOME/log\" && echo \"$HOME\" > \"$0.home\" && echo https://default.example/";
    let asked = Fake::new().program("npm", script);
    is(asked.found("npm"), &["https://default.example/"], "the default of npm on this host");
    let home = fs::read_to_string(asked.folder.path().join("bin/npm.home")).unwrap();
    assert!(!Path::new(home.trim()).exists(), "{home}");
}

#[test]
fn programs_of_the_repository_are_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, outside) = (folder.path().join("repo"), folder.path().join("bin"));
    let inside = repository.join("node_modules/.bin");
    fs::create_dir_all(&inside).unwrap();
    fs::create_dir_all(&outside).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    let path = std::env::join_paths([
        inside.as_path(),
        &outside,
        Path::new("node_modules/.bin"),
        Path::new(""),
        &link,
    ])
    .unwrap();
    assert_eq!(Here::search(path.to_str().unwrap(), &repository), std::slice::from_ref(&outside));
    // Without the exclusion the agent's would be first.
    assert_eq!(Here::search(path.to_str().unwrap(), Path::new("/nonexistent"))[0], inside);
}
