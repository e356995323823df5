//! A branch that widens, as its reviewer's workflow sees it: `tests/data/plan/against.txt` is what is typed and shown,
//! `tests/data/plan/lock.txt` what becomes of registries, and `tests/data/plan/clones.txt` what is read of repositories
//! that are kept otherwise. `COFFERDAM_UPDATE=1` renews them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use git2::{Oid, Repository};

use super::{Sink, commits::commit, end};
use crate::{
    cli::{
        Cli,
        command::{self, Command},
        output::Output,
    },
    kit::Elsewhere,
};

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
        Self { _folder: folder, root, repository, shown: String::new() }
    }

    fn commit(&self, reference: &str, parents: &[Oid], files: &[(&str, &str)]) -> Oid {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes(), 0o100_644)).collect();
        let oid = commit(&self.repository, "a commit", parents, &files);
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
        self.types_in("web", line);
    }

    fn types_in(&mut self, folder: &str, line: &str) {
        let mut cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        cli.choose_form().unwrap();
        let (data, talk) = (Sink::default(), Sink::default());
        let out = Output::to(cli.output.format(), data.clone(), talk.clone());
        let Command::Plan(plan) = &cli.command else { panic!("only plans are typed here") };
        let code = end(
            command::plan::run_alone(plan, &self.root.join(folder), cli.locked, Elsewhere::default(), &out),
            &out,
        );
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

impl Stage {
    /// What was typed and shown is what stands in this file, and nothing was made beside the repository.
    fn ends(self, file: &str) {
        let shown = self.shown.replace(self.root.to_str().unwrap(), "/src");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/plan").join(file);
        if std::env::var_os("COFFERDAM_UPDATE").is_some() {
            fs::write(&path, &shown).unwrap();
        }
        assert_eq!(shown, fs::read_to_string(&path).unwrap_or_default(), "COFFERDAM_UPDATE=1 renews it");
        let folders = fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().file_name());
        let mut folders: Vec<_> = folders.collect();
        folders.sort();
        folders.retain(|name| name != "tree");
        assert_eq!(folders, ["web"], "nothing is made");
    }

    fn git_file(&self, name: &str, text: &str) {
        let path = self.git().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn lose(&self, object: Oid) {
        let id = object.to_string();
        fs::remove_file(self.git().join("objects").join(&id[..2]).join(&id[2..])).unwrap();
    }

    fn blob(&self, commit: Oid, name: &str) -> Oid {
        let tree = self.repository.find_commit(commit).unwrap().tree().unwrap();
        tree.get_name(name).unwrap().id()
    }
}

fn lock(host: &str) -> String {
    format!("version: 1\nregistries:\n  npm:\n    - \"https://{host}/\"\n")
}

#[test]
fn what_a_registry_is_stands_in_the_lock_file() {
    let mut stage = Stage::new();
    let mirror = lock("npm.corp.example");
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("pins");
    stage.note("nothing says where registry:npm is");
    let denies = BASE.replace(
        "why: nothing leaves by paste}",
        "why: nothing leaves by paste}\n      - {deny: \"registry:pypi\", why: one language}",
    );
    stage.commit("refs/heads/pins", &[base], &[("sandbox.yaml", &denies)]);
    stage.types("cofferdam plan --against main");
    stage.note("the branch pins it");
    let pinned =
        stage.commit("refs/heads/pins", &[base], &[("sandbox.yaml", BASE), ("sandbox.lock", &mirror)]);
    stage.types("cofferdam plan --against main");
    stage.types("cofferdam plan --against main --locked -o github");
    stage.note("another branch leads it elsewhere, and changes no other line");
    let evil = lock("npm.evil.example");
    stage.head("evil");
    let files = [("sandbox.yaml", BASE), ("sandbox.lock", &evil)];
    stage.commit("refs/heads/evil", &[pinned], &files);
    stage.types("cofferdam plan --against pins");
    stage.types("cofferdam plan --against pins -o github");
    stage.note("that the set was approved once is no approval of the host");
    let approves = |grant: &str| {
        format!("apiVersion: cofferdam.dev/v1alpha1\nkind: Approvals\nspec:\n  dev: [\"{grant}\"]\n")
    };
    for grant in ["net GET,HEAD registry:npm", "net GET,HEAD registry:npm (npm.evil.example:443)"] {
        let text = approves(grant);
        let files = [files[0], files[1], (".cofferdam/approvals.yaml", text.as_str())];
        stage.commit("refs/heads/evil", &[pinned], &files);
        stage.note(&format!("approved: {grant}"));
        stage.types("cofferdam plan --against pins -o github");
    }
    stage.note("what is not pinned may be demanded to be");
    stage.head("main");
    stage.types("cofferdam plan --against main --locked");
    stage.note("versions of packages are pinned there, too");
    let spec = HEAD.replace("  resources", "  template: {packages: [jq]}\n  resources");
    let pin = |version: &str| format!("version: 1\npackages:\n  debian-12:\n    \"jq\": \"{version}\"\n");
    let (old, new) = (pin("1.6-2.1"), pin("1.7-1"));
    let base = stage.commit("refs/heads/tools", &[], &[("sandbox.yaml", &spec), ("sandbox.lock", &old)]);
    stage.head("newer");
    stage.commit("refs/heads/newer", &[base], &[("sandbox.yaml", &spec), ("sandbox.lock", &new)]);
    stage.types("cofferdam plan --against tools --fail-on change");
    stage.commit("refs/heads/newer", &[base], &[("sandbox.yaml", &spec)]);
    stage.types("cofferdam plan --against tools --locked");
    stage.ends("lock.txt");
}

#[test]
fn commits_are_read_however_the_repository_keeps_them() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", HEAD)]);
    let wider = HEAD.replace("cpus: 4}", "cpus: 4}\n  ports: [{guest: 3000}]");
    let head = stage.commit("refs/heads/agent", &[base], &[("sandbox.yaml", &wider)]);
    let short = "cofferdam plan --against main -o github";
    stage.note("references in one file");
    fs::remove_file(stage.git().join("refs/heads/main")).unwrap();
    fs::remove_file(stage.git().join("refs/heads/agent")).unwrap();
    let packed = format!(
        "# pack-refs with: peeled fully-peeled sorted\n{head} refs/heads/agent\n{base} refs/heads/main\n"
    );
    stage.git_file("packed-refs", &packed);
    stage.head("agent");
    stage.types(short);
    stage.note("no branch is checked out");
    stage.git_file("HEAD", &format!("{head}\n"));
    stage.types(short);
    stage.note("a further working tree");
    let tree = stage.root.join("tree");
    fs::create_dir_all(&tree).unwrap();
    stage.git_file("worktrees/tree/HEAD", "ref: refs/heads/agent\n");
    stage.git_file("worktrees/tree/commondir", "../..\n");
    stage.git_file("worktrees/tree/gitdir", &format!("{}\n", tree.join(".git").display()));
    let pointer = format!("gitdir: {}\n", stage.git().join("worktrees/tree").display());
    fs::write(tree.join(".git"), &pointer).unwrap();
    stage.types_in("tree", short);
    stage.note("a folder that says it is one, and is not");
    stage.git_file("worktrees/tree/gitdir", "/elsewhere/.git\n");
    stage.types_in("tree", short);
    stage.note("a clone with a filter: a file was left with the remote");
    let lost = stage.blob(base, "sandbox.yaml");
    stage.lose(lost);
    stage.git_file("objects/pack/pack-0.promisor", "");
    stage.types(short);
    fs::remove_file(stage.git().join("objects/pack/pack-0.promisor")).unwrap();
    stage.note("no filter: it is lost");
    stage.types(short);
    stage.note("a commit that has a folder of nobody");
    stage.lose(stage.repository.find_commit(head).unwrap().tree_id());
    stage.types(short);
    stage.note("objects that are named by SHA-256");
    stage.git_file("HEAD", &format!("{}\n", "ab".repeat(32)));
    stage.types(short);
    stage.note("references in a table");
    stage.git_file("HEAD", "ref: refs/heads/.invalid\n");
    fs::create_dir_all(stage.git().join("reftable")).unwrap();
    stage.types(short);
    fs::remove_dir(stage.git().join("reftable")).unwrap();
    stage.note("nothing is committed yet");
    stage.git_file("HEAD", "ref: refs/heads/first\n");
    stage.types(short);
    stage.ends("clones.txt");
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
    for form in ["text", "md", "github"] {
        stage.types(&format!("cofferdam plan --against main -o {form}"));
    }
    stage.note("what is not committed is not compared");
    fs::write(stage.root.join("web/sandbox.yaml"), BASE).unwrap();
    stage.types("cofferdam plan --against main -o github");
    fs::write(stage.root.join("web/sandbox.yaml"), HEAD).unwrap();
    stage.types("cofferdam plan --against main -o github");
    fs::remove_file(stage.root.join("web/sandbox.yaml")).unwrap();
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
    stage.note("its isolation is asked for by no file, so no file answers that; the rest it does");
    let approvals = APPROVALS.replace("mount ~/datasets read", "\"net GET,HEAD registry:npm\"");
    for approvals in [APPROVALS, &approvals] {
        let files = [("sandbox.yaml", BASE), (".cofferdam/approvals.yaml", approvals)];
        stage.commit("refs/heads/first", &[empty], &files);
        stage.types("cofferdam plan -f sandbox.yaml --against empty -o github");
    }
    stage.note("what cannot be answered");
    let wrong = BASE.replace("agent: shell", "agnt: shell");
    stage.commit("refs/heads/first", &[empty], &[("sandbox.yaml", &wrong)]);
    stage.types("cofferdam plan --against empty");
    stage.types("cofferdam plan --against empty --fail-on none");
    stage.types("cofferdam plan --against nowhere");
    stage.types("cofferdam plan --against HEAD~7");
    stage.types(&format!("cofferdam plan --against {}", "ab".repeat(20)));
    stage.types("cofferdam plan --against main");
    stage.head("main");
    let id = base.to_string();
    fs::remove_file(stage.git().join("objects").join(&id[..2]).join(&id[2..])).unwrap();
    let approved = approved.to_string();
    fs::remove_file(stage.git().join("objects").join(&approved[..2]).join(&approved[2..])).unwrap();
    fs::write(stage.git().join("shallow"), format!("{merged}\n")).unwrap();
    stage.types("cofferdam plan --against agent");
    stage.git_file("config", "[remote \"origin\"]\n\turl = https://git.corp.example/acme/web\n");
    for reference in
        ["origin/main", "feature/x", "v1", "refs/remotes/origin/main", "refs/notes/x", "HEAD~5", "main~5"]
    {
        stage.types(&format!("cofferdam plan --against {reference}"));
    }
    stage.note("one step back is here, and nothing before it");
    stage.types("cofferdam plan --against HEAD~1 -o github");
    stage.ends("against.txt");
}

/// Whoever waits for a report gets it, whatever form it has: else the comment of an older change goes on standing there.
#[test]
fn what_is_wrong_is_told_in_the_form_that_was_asked_for() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("agent");
    let wrong = BASE.replace("agent: shell", "agnt: shell").replace(
        "  workspace:",
        "  \"@all [x](https://evil.example) <img>\\n::warning::\\u2028##[group]\": 1\n  workspace:",
    );
    stage.commit("refs/heads/agent", &[base], &[("sandbox.yaml", &wrong)]);
    stage.types("cofferdam plan --against main");
    stage.types("cofferdam plan --against main -o md");
    stage.types("cofferdam plan --against main -o github");
    stage.types("cofferdam plan --against main -o sarif");
    stage.types("cofferdam plan --against main -o json");
    stage.note("in every form at once, as a workflow asks for it");
    let reports = stage.root.join("tree");
    fs::create_dir_all(&reports).unwrap();
    let forms = ["md", "sarif", "json", "github", "text"];
    let write: Vec<String> =
        forms.iter().map(|form| format!("{form}={}", reports.join(form).display())).collect();
    stage.types(&format!("cofferdam plan --against main --fail-on none --write {}", write.join(" ")));
    for form in forms {
        let written = fs::read_to_string(reports.join(form)).unwrap();
        let asked = ["md", "sarif", "github"].contains(&form);
        // What is written is what would have been shown.
        assert!(!written.is_empty() && (!asked || stage.shown.contains(&written)), "{form}: {written}");
    }
    stage.note("a clone that does not reach the base");
    fs::write(stage.git().join("shallow"), format!("{base}\n")).unwrap();
    let object = base.to_string();
    fs::remove_file(stage.git().join("objects").join(&object[..2]).join(&object[2..])).unwrap();
    stage.types("cofferdam plan --against main -o md");
    stage.types("cofferdam plan --against main -o sarif");
    stage.note("a word of the command line is no report");
    stage.types("cofferdam plan --against ~ -o md");
    stage.ends("wrong.txt");
}

#[test]
fn a_local_file_that_is_committed_is_compared_like_any_other() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("local");
    let local = "apiVersion: cofferdam.dev/v1alpha1
kind: Sandbox
metadata: {name: dev}
spec:
  network: {rules: [{allow: \"evil.example:443\", why: mine}]}
  ports: [{guest: 3000}]
";
    let files = [("sandbox.yaml", BASE), ("sandbox.local.yaml", local)];
    stage.commit("refs/heads/local", &[base], &files);
    stage.types("cofferdam plan --against main");
    stage.ends("local.txt");
}

#[test]
fn what_is_fixed_when_a_sandbox_is_made_widens_its_definition() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    let workspace = "workspace: {path: ., mode: read}";
    for (branch, wider) in [
        ("direct", "workspace: {path: ., mode: direct}"),
        ("outside", "workspace: {path: ../data2, mode: direct}"),
    ] {
        let file = BASE.replace(workspace, wider);
        let reference = format!("refs/heads/{branch}");
        stage.head(branch);
        stage.note(wider);
        let wide = stage.commit(&reference, &[base], &[("sandbox.yaml", &file)]);
        // A comment has the path in another spelling than a transcript can leave out.
        let forms = if branch == "direct" { &["text", "md", "github"][..] } else { &["text", "github"] };
        for form in forms {
            stage.types(&format!("cofferdam plan --against main -o {form}"));
        }
        stage.note("and back");
        stage.head("back");
        stage.commit("refs/heads/back", &[wide], &[("sandbox.yaml", BASE)]);
        stage.types(&format!("cofferdam plan --against {branch} --fail-on change"));
    }
    stage.note("a definition that nothing is made of by itself");
    let demand = BASE.replace("  agent: shell", "  agent: shell\n  start: onDemand");
    let empty = stage.commit("refs/heads/empty", &[], &[("README.md", "")]);
    stage.head("demand");
    stage.commit("refs/heads/demand", &[empty], &[("sandbox.yaml", &demand)]);
    stage.types("cofferdam plan --against empty -o github");
    stage.ends("workspace.txt");
}

#[test]
fn what_says_the_same_is_no_change() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("agent");
    stage.note("only another file changed");
    stage.commit("refs/heads/agent", &[base], &[("sandbox.yaml", BASE), ("README.md", "more")]);
    stage.types("cofferdam plan --against main --fail-on change");
    stage.types("cofferdam plan --against main --fail-on change -o md");
    stage.note("a comment, an empty line, another order, another reason");
    let acme = "      - {allow: \"**.acme.example:443\", why: our services}\n";
    let moved = format!("{}\n{acme}", BASE.replace(acme, "").replace("  network:", "\n  # ours\n  network:"));
    let moved = moved.replace("why: dependencies", "why: what we build with");
    stage.commit("refs/heads/agent", &[base], &[("sandbox.yaml", &moved)]);
    stage.types("cofferdam plan --against main --fail-on change");
    stage.note("a processor more is one");
    let more = format!("{BASE}  resources: {{cpus: 3}}\n");
    stage.commit("refs/heads/agent", &[base], &[("sandbox.yaml", &more)]);
    stage.types("cofferdam plan --against main --fail-on change");
    stage.ends("same.txt");
}

#[test]
fn an_approval_that_ends_covers_what_ends() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("agent");
    let rule = |until: &str| format!("{BASE}      - {{allow: e.example, why: x{until}}}\n");
    let approvals = |entry: &str| {
        format!("apiVersion: cofferdam.dev/v1alpha1\nkind: Approvals\nspec:\n  dev: [{entry}]\n")
    };
    // Commits of this stage are made in 1970.
    for (until, entry) in [
        ("", "net * e.example:443"),
        ("", "{grant: \"net * e.example:443\", until: 2030-12-31}"),
        (", until: 2030-12-31", "{grant: \"net * e.example:443\", until: 2030-12-31}"),
        (", until: 2031-01-31", "{grant: \"net * e.example:443\", until: 2030-12-31}"),
        (", until: 1969-01-31", "{grant: \"net * e.example:443\", until: 1969-12-31}"),
    ] {
        stage.note(&format!("e.example{until}; approved: {entry}"));
        let (file, approved) = (rule(until), approvals(entry));
        let files = [("sandbox.yaml", file.as_str()), (".cofferdam/approvals.yaml", approved.as_str())];
        stage.commit("refs/heads/agent", &[base], &files);
        stage.types("cofferdam plan --against main -o github");
    }
    stage.ends("ends.txt");
}

#[test]
fn files_that_go_and_files_that_are_mended_are_planned() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("gone");
    stage.note("the last file of ours is deleted");
    stage.commit("refs/heads/gone", &[base], &[("README.md", "")]);
    stage.types("cofferdam plan --against main");
    stage.types("cofferdam plan -f sandbox.yaml --against main -o github --fail-on change");
    stage.types("cofferdam plan -f nowhere.yaml --against main");
    stage.note("what this branch began with is wrong, and this branch mends it");
    let wrong = BASE.replace("agent: shell", "agnt: shell");
    let wrong = stage.commit("refs/heads/wrong", &[base], &[("sandbox.yaml", &wrong)]);
    stage.head("mended");
    stage.commit("refs/heads/mended", &[wrong], &[("sandbox.yaml", BASE)]);
    stage.types("cofferdam plan --against wrong");
    stage.types("cofferdam plan --against wrong -o md");
    stage.note("deleted instead");
    stage.commit("refs/heads/mended", &[wrong], &[("README.md", "")]);
    stage.types("cofferdam plan --against wrong");
    stage.ends("mended.txt");
}

#[test]
fn references_that_are_none_are_told() {
    let mut stage = Stage::new();
    let base = stage.commit("refs/heads/main", &[], &[("sandbox.yaml", BASE)]);
    stage.head("main");
    for written in ["HEAD@{1}", ":/fix", "main..topic", "main...topic", "HEAD^2"] {
        stage.types(&format!("cofferdam plan --against {written}"));
    }
    let id = base.to_string();
    stage.note("the beginning of an id");
    stage.types(&format!("cofferdam plan --against {}", &id[..7]));
    stage.types("cofferdam plan --against abcdef0");
    stage.ends("references.txt");
}
