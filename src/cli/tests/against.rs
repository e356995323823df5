//! A branch that widens, as its reviewer's workflow sees it: `tests/data/plan/against.txt` is what is typed and shown;
//! `COFFERDAM_UPDATE=1` renews it.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use git2::{Oid, Repository, Signature, Time};

use super::{Sink, end};
use crate::cli::{Cli, context::Context, host::Host, output::Output, prompt::Prompt};

const BASE: &str = "apiVersion: cofferdam.dev/v1alpha1
kind: Sandbox
metadata: {name: dev}
spec:
  agent: shell
  workspace: {path: ., mode: read}
  network:
    rules:
      - {allow: \"**.acme.example:443\", why: our services}
      - {allow: \"registry:npm\", why: dependencies}
      - {deny: \"gist.acme.example\", why: nothing leaves by paste}
";

const HEAD: &str = "apiVersion: cofferdam.dev/v1alpha1
kind: Sandbox
metadata: {name: dev}
spec:
  agent: shell
  workspace: {path: ., mode: read}
  mounts: [{source: ~/datasets, target: /data, why: \"training data, approved by @lead <!-- -->\"}]
  network:
    rules:
      - {allow: \"**.acme.example:443\", why: our services}
  resources: {cpus: 4}
";

const APPROVALS: &str = "apiVersion: cofferdam.dev/v1alpha1
kind: Approvals
spec:
  dev: [mount ~/datasets read, \"net * **.acme.example:443\"]
";

struct Stage {
    _folder: tempfile::TempDir,
    root: PathBuf,
    repository: Repository,
    shown: String,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let repository = Repository::init(root.join("web")).unwrap();
        fs::create_dir_all(root.join("home")).unwrap();
        Self { _folder: folder, root, repository, shown: String::new() }
    }

    fn commit(&self, reference: &str, parents: &[Oid], files: &[(&str, &str)]) -> Oid {
        let mut root = self.repository.treebuilder(None).unwrap();
        let mut ours = self.repository.treebuilder(None).unwrap();
        for (name, text) in files {
            let blob = self.repository.blob(text.as_bytes()).unwrap();
            match name.strip_prefix(".cofferdam/") {
                Some(name) => drop(ours.insert(name, blob, 0o100_644).unwrap()),
                None => drop(root.insert(name, blob, 0o100_644).unwrap()),
            }
        }
        if !ours.is_empty() {
            root.insert(".cofferdam", ours.write().unwrap(), 0o040_000).unwrap();
        }
        let tree = self.repository.find_tree(root.write().unwrap()).unwrap();
        let who = Signature::new("Ann", "ann@team.example", &Time::new(0, 0)).unwrap();
        let parents: Vec<_> = parents.iter().map(|oid| self.repository.find_commit(*oid).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        let oid = self.repository.commit(None, &who, &who, "a commit", &tree, &parents).unwrap();
        fs::write(self.git().join(reference), format!("{oid}\n")).unwrap();
        oid
    }

    fn git(&self) -> PathBuf {
        self.root.join("web/.git")
    }

    fn head(&self, name: &str) {
        fs::write(self.git().join("HEAD"), format!("ref: refs/heads/{name}\n")).unwrap();
    }

    fn note(&mut self, text: &str) {
        let _ = writeln!(self.shown, "$ # {text}");
    }

    fn types(&mut self, line: &str) {
        let mut cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        cli.choose_form().unwrap();
        let (data, talk) = (Sink::default(), Sink::default());
        let out = Output::to(cli.output.format(), data.clone(), talk.clone());
        let env = |name: &str| match name {
            "HOME" => Some(OsString::from(self.root.join("home"))),
            "COFFERDAM_STATE" => Some(OsString::from(self.root.join("state"))),
            "COFFERDAM_CACHE" => Some(OsString::from(self.root.join("cache"))),
            _ => None,
        };
        let host = Host::with(&env, &self.root.join("web")).unwrap();
        let context = Context { out, prompt: Prompt::new(true, None, false), ops: &host };
        let code = end(cli.command.run(&context), &context.out);
        let _ = writeln!(self.shown, "$ {line}");
        self.shown.push_str(&data.text());
        for line in talk.text().lines() {
            let _ = writeln!(self.shown, "! {line}");
        }
        if code != 0 {
            let _ = writeln!(self.shown, "[exit {code}]");
        }
    }
}

#[test]
fn a_branch_that_widens() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    let head = stage.commit("refs/heads/agent", &[base], &[("sandbox.yaml", HEAD)]);
    let main = stage.commit("refs/heads/main", &[base], &[("sandbox.yaml", BASE), ("README.md", "more")]);
    stage.head("agent");
    stage.types("cofferdam plan --against main");
    stage.types("cofferdam plan --against main -o md");
    stage.types("cofferdam plan --against main -o github --fail-on error");
    stage.types("cofferdam plan --against main~1 -o json --fail-on none");
    stage.note("the branch's author writes down what it grants");
    let files = [("sandbox.yaml", HEAD), (".cofferdam/approvals.yaml", APPROVALS)];
    let approved = stage.commit("refs/heads/agent", &[head], &files);
    stage.types("cofferdam plan --against main -o github");
    stage.note("the other way round: main narrows what the branch has");
    stage.head("main");
    let merged = stage.commit("refs/heads/main", &[main, approved], &[("sandbox.yaml", BASE)]);
    stage.types("cofferdam plan --against agent");
    stage.types("cofferdam plan --against agent --fail-on change");
    stage.note("nothing was there before");
    let empty = stage.commit("refs/heads/empty", &[], &[("README.md", "")]);
    stage.head("first");
    stage.commit("refs/heads/first", &[empty], &[("sandbox.yaml", BASE)]);
    stage.types("cofferdam plan -f sandbox.yaml --against empty");
    stage.note("what cannot be answered");
    let wrong = BASE.replace("agent: shell", "agnt: shell");
    stage.commit("refs/heads/first", &[empty], &[("sandbox.yaml", &wrong)]);
    stage.types("cofferdam plan --against empty");
    stage.types("cofferdam plan --against empty --fail-on none");
    stage.types("cofferdam plan --against nowhere");
    stage.types("cofferdam plan --against main");
    stage.head("main");
    let id = base.to_string();
    fs::remove_file(stage.git().join("objects").join(&id[..2]).join(&id[2..])).unwrap();
    let approved = approved.to_string();
    fs::remove_file(stage.git().join("objects").join(&approved[..2]).join(&approved[2..])).unwrap();
    fs::write(stage.git().join("shallow"), format!("{merged}\n")).unwrap();
    stage.types("cofferdam plan --against agent");

    let shown = stage.shown.replace(stage.root.join("web").to_str().unwrap(), "/src/web");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/plan/against.txt");
    if std::env::var_os("COFFERDAM_UPDATE").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&path).unwrap_or_default(), "COFFERDAM_UPDATE=1 renews it");
    // Opening the program makes its empty folders; nothing is put into them.
    assert_eq!(fs::read_dir(stage.root.join("state/sandboxes")).unwrap().count(), 0);
    assert!(!stage.root.join("cache").exists());
}
