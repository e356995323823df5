//! Approvals that reviewers merged, as the people of a team see them on their own machines:
//! `tests/data/plan/trusted.txt` is what is typed and shown; `COFFERDAM_UPDATE=1` renews it. Keys are made anew each time,
//! so commits and fingerprints stand there as words.

use std::{ffi::OsString, fmt::Write as _, fs, path::PathBuf};

use clap::Parser as _;
use git2::{Oid, Repository};

use super::{
    Sink,
    commits::commit,
    end,
    rehearsal::{Made, Rehearsal},
};
use crate::{
    cli::{Cli, context::Context, host::Host, output::Output, prompt::Prompt},
    review::signing::Pair,
};

const MAIN: &str = "refs/remotes/origin/main";
const FILE: &str = "apiVersion: cofferdam.dev/v1alpha1
kind: Sandbox
metadata: {name: dev}
spec:
  agent: shell
  workspace: {path: ., mode: read}
  isolation: hardware
  network:
    rules:
      - {allow: \"docs.example:443\", why: the API's reference}
      - {allow: \"files.partner.example:443\", why: their drop box}
      - {allow: \"old.example:443\", until: 2020-06-30, why: the move}
  ports: [{guest: 3000}]
";

struct Stage {
    _folder: tempfile::TempDir,
    root: PathBuf,
    git: Repository,
    made: Made,
    words: Vec<(String, &'static str)>,
    shown: String,
}

impl Stage {
    fn new(signer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let config = root.join("home/.config/cofferdam");
        fs::create_dir_all(&config).unwrap();
        let trust = format!(
            "approvals:\n  trust:\n    - ref: {MAIN}\n      repository: git.corp.example/acme/web\n      signers: [\"{signer}\"]\n"
        );
        fs::write(config.join("config.yaml"), trust).unwrap();
        let git = Repository::init(root.join("web")).unwrap();
        git.remote("origin", "https://git.corp.example/acme/web.git").unwrap();
        fs::write(root.join("web/sandbox.yaml"), FILE).unwrap();
        Self { _folder: folder, root, git, made: Made::default(), words: Vec::new(), shown: String::new() }
    }

    fn commit(&mut self, word: &'static str, parents: &[Oid], pair: Option<&Pair>) -> Oid {
        let file = fs::read(self.root.join("web/.cofferdam/approvals.yaml")).unwrap();
        let plain = commit(&self.git, word, parents, &[(".cofferdam/approvals.yaml", &file, 0o100_644)]);
        let oid = pair.map_or(plain, |pair| pair.resign(&self.git, plain));
        self.words.push((oid.to_string(), word));
        self.words.push((oid.to_string()[..12].to_owned(), word));
        oid
    }

    fn fetched(&self, oid: Oid) {
        let path = self.root.join("web/.git").join(MAIN);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{oid}\n")).unwrap();
    }

    fn note(&mut self, text: &str) {
        let _ = writeln!(self.shown, "$ # {text}");
    }

    fn shows(&mut self, path: &str) {
        let text = fs::read_to_string(self.root.join("web").join(path)).unwrap_or_else(|error| {
            panic!("{path}: {error}\n{}", self.shown);
        });
        let _ = write!(self.shown, "$ cat {path}\n{text}");
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
        let ops =
            Rehearsal { host, made: self.made.clone(), trails: self.root.join("trails"), machines: None };
        let context = Context { out, prompt: Prompt::new(true, None, false), ops: &ops };
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
fn approvals_that_a_team_merges() {
    let alice = Pair::ed25519();
    let mut stage = Stage::new(&alice.signer("alice@corp.example").to_string());
    stage.types("cofferdam apply");
    stage.note("its author approves it here, and writes that down for the reviewer");
    stage.types("cofferdam approve dev --yes --commit --until 2999-12-31");
    stage.shows(".cofferdam/approvals.yaml");
    stage.note("on another machine, before main is signed");
    fs::remove_dir_all(stage.root.join("state")).unwrap();
    let unsigned = stage.commit("UNSIGNED", &[], None);
    stage.fetched(unsigned);
    stage.types("cofferdam plan");
    stage.note("alice merges and signs; everybody fetches");
    let signed = stage.commit("SIGNED", &[unsigned], Some(&alice));
    stage.fetched(signed);
    stage.types("cofferdam apply");
    stage.types("cofferdam pending dev --all");
    stage.note("somebody moves the ref back to what was approved once");
    let text = fs::read_to_string(stage.root.join("web/.cofferdam/approvals.yaml")).unwrap();
    let text = text.lines().filter(|line| !line.contains("port")).map(|line| format!("{line}\n"));
    fs::write(stage.root.join("web/.cofferdam/approvals.yaml"), text.collect::<String>()).unwrap();
    let narrower = stage.commit("NARROWER", &[signed], Some(&alice));
    stage.fetched(narrower);
    stage.types("cofferdam apply");
    stage.fetched(signed);
    stage.types("cofferdam apply");
    let mut shown = stage.shown.replace(stage.root.join("web").to_str().unwrap(), "/src/web");
    for (id, word) in &stage.words {
        shown = shown.replace(id, word);
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/plan/trusted.txt");
    if std::env::var_os("COFFERDAM_UPDATE").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&path).unwrap_or_default(), "COFFERDAM_UPDATE=1 renews it");
}
