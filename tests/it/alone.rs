//! Commands that look at nothing of this host, run where there is nothing: no home, a state directory that cannot be
//! made, a configuration that does not parse.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use git2::{Oid, Repository, Signature};
use serde_json::json;

const FILE: &str = "apiVersion: cofferdam.dev/v1alpha1
kind: Sandbox
metadata: {name: dev}
spec:
  agent: shell
  workspace: {path: ., mode: read}
  network: {rules: [{allow: \"api.example:443\", why: our service}]}
";

/// A host that has nothing for anybody.
struct Barren {
    folder: tempfile::TempDir,
}

impl Barren {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("the stage is set");
        let barren = Self { folder };
        // Nothing can be made below a file, whoever tries.
        fs::write(barren.path("file"), "").expect("the stage is set");
        fs::write(barren.path("config.yaml"), "engine: [poisoned\n").expect("the stage is set");
        let repository = Repository::init(barren.path("web")).expect("the stage is set");
        let base = commit(&repository, &[], FILE);
        fs::write(barren.path("web/.git/refs/heads/main"), format!("{base}\n")).expect("the stage is set");
        let wider = FILE.replace("api.example", "**.api.example");
        let head = commit(&repository, &[base], &wider);
        fs::write(barren.path("web/.git/HEAD"), format!("{head}\n")).expect("the stage is set");
        fs::write(barren.path("web/sandbox.yaml"), FILE).expect("the stage is set");
        barren
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command line in the repository.
    #[expect(clippy::disallowed_methods, reason = "the program is started from outside, as its users do")]
    fn types(&self, line: &str, config: &Path) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cofferdam"))
            .args(line.split_whitespace())
            .current_dir(self.path("web"))
            .env_clear()
            .env("HOME", self.path("file/home"))
            .env("COFFERDAM_CONFIG", config)
            .env("COFFERDAM_STATE", self.path("file/state"))
            .env("COFFERDAM_CACHE", self.path("file/cache"))
            .env("XDG_RUNTIME_DIR", self.path("file/run"))
            .output()
            .expect("the stage is set")
    }

    fn poisoned(&self, line: &str) -> Output {
        self.types(line, &self.path("config.yaml"))
    }

    /// Everything that is there.
    fn listing(&self) -> Vec<PathBuf> {
        let (mut open, mut found) = (vec![self.folder.path().to_owned()], Vec::new());
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("the stage is set") {
                let entry = entry.expect("the stage is set");
                found.push(entry.path());
                if entry.file_type().expect("the stage is set").is_dir() {
                    open.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

fn commit(repository: &Repository, parents: &[Oid], text: &str) -> Oid {
    let mut tree = repository.treebuilder(None).expect("the stage is set");
    tree.insert("sandbox.yaml", repository.blob(text.as_bytes()).expect("the stage is set"), 0o100_644)
        .expect("the stage is set");
    let tree = repository.find_tree(tree.write().expect("the stage is set")).expect("the stage is set");
    let who = Signature::now("Ann", "ann@team.example").expect("the stage is set");
    let parents: Vec<_> =
        parents.iter().map(|oid| repository.find_commit(*oid).expect("the stage is set")).collect();
    repository
        .commit(None, &who, &who, "a commit", &tree, &parents.iter().collect::<Vec<_>>())
        .expect("the stage is set")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

#[test]
fn a_comparison_needs_no_host_and_makes_nothing() {
    let barren = Barren::new();
    let before = barren.listing();
    let compared = barren.poisoned("plan --against main");
    assert_eq!(compared.status.code(), Some(5), "{}", words(&compared));
    assert!(words(&compared).contains("grants: net * **.api.example:443"), "{}", words(&compared));
    let to_json = barren.poisoned("plan -f . --against main -o json --fail-on none");
    assert_eq!(to_json.status.code(), Some(0), "{}", words(&to_json));
    assert_eq!(barren.listing(), before, "nothing is made");
    // The break: the same host is none for a plan of its own, for the configuration and for the state.
    let poisoned = barren.poisoned("plan");
    assert_eq!(poisoned.status.code(), Some(3), "{}", words(&poisoned));
    assert!(words(&poisoned).contains("config.yaml"), "{}", words(&poisoned));
    let stateless = barren.types("plan", &barren.path("none.yaml"));
    assert_eq!(stateless.status.code(), Some(1), "{}", words(&stateless));
    assert!(words(&stateless).contains("file/state"), "{}", words(&stateless));
}

#[test]
fn a_saved_input_is_planned_again_anywhere() {
    let barren = Barren::new();
    let wanted = json!({
        "name": "dev", "agent": {"kit": "shell", "command": ["bash"]}, "template": {"image": "debian-12"},
        "workspace": null, "network": {}, "resources": {"cpus": 2, "memory": 1 << 30, "disk": 4_u64 << 30},
        "isolation": "hardware", "provenance": {},
    });
    let content = json!({"ground": {"root": "/src/web", "home": "/home/ann"}, "desired": [wanted]});
    let saved = json!({"kind": "cofferdam-plan-input", "version": 1, "content": content});
    fs::write(barren.path("web/input.json"), saved.to_string()).expect("the stage is set");
    let before = barren.listing();
    let planned = barren.poisoned("plan --replay input.json");
    assert_eq!(planned.status.code(), Some(0), "{}", words(&planned));
    assert!(words(&planned).starts_with("dev is made and started"), "{}", words(&planned));
    assert_eq!(barren.listing(), before, "nothing is made");
}

#[test]
fn files_are_checked_where_nothing_can_be_remembered() {
    let barren = Barren::new();
    let before = barren.listing();
    let checked = barren.types("check", &barren.path("none.yaml"));
    assert_eq!(checked.status.code(), Some(0), "{}", words(&checked));
    assert!(words(&checked).starts_with("ok: dev\n"), "{}", words(&checked));
    // What the operator says of registries is part of it, so a configuration that is wrong stays an error.
    assert_eq!(barren.poisoned("check").status.code(), Some(3));
    assert_eq!(barren.listing(), before, "nothing is made");
}
