//! What a user types and what comes back, against the real program in a repository of its own; only machines are
//! missing. `COFFERDAM_UPDATE=1` renews the transcripts in `tests/data/transcripts`.
//!
//! A transcript is its own test: lines that begin with `$ ` are typed, lines that begin with `> ` right after one are
//! what the person answers, the rest is what is shown: standard output as it is, standard error after `! `, and an
//! exit code that is not 0 as `[exit N]`. What ends with ` &` goes on until `$ kill %1`. `$ cp FROM TO` copies, `$ cat FILE` shows a
//! file, `$ mkdir DIR` makes a folder to go on in, `$ # …` is a remark. A folder of the transcript's name holds the repository that
//! it begins with. `$ publish X` is somebody else's: what the folder `NAME.kits/X` holds is the next commit of
//! `https://kits.example/acme`. `$ git add FILE` tracks one. From `$ computer other` on, the cache is an empty one; from
//! `$ computer without-kvm` on, nothing runs on hardware.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::{
    Sink, end,
    keeper::FakeKeeper,
    rehearsal::{Machines, Made, Rehearsal},
};
use crate::cli::{Cli, context::Context, host::Host, ops::Documents, output::Output, prompt::Prompt};
use crate::remote::stage;
use crate::store::{Owner, Store};
use crate::vmm::probe::KvmState;
use clap::Parser as _;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts")
}

#[test]
fn transcripts_are_what_a_user_sees() {
    let mut names: Vec<PathBuf> = fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    names.sort();
    assert!(!names.is_empty());
    let mut differing = Vec::new();
    for path in names {
        let expected = fs::read_to_string(&path).unwrap();
        let played = Stage::new(&path.with_extension("")).play(&expected);
        if std::env::var_os("COFFERDAM_UPDATE").is_some() {
            fs::write(&path, &played).unwrap();
        } else if played != expected {
            differing.push(format!(
                "{} differs (COFFERDAM_UPDATE=1 renews it); it is now:\n{played}",
                path.display()
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// The operator's configuration on every stage.
const CONFIG: &str = "registries:
  npm: [\"https://npm.corp.example/\"]
  go: [\"https://go.corp.example/\"]
secrets:
  sources:
    staging: {file: /nonexistent/key}
    vault: {command: [pass, show, vault]}
";

/// A home, and a repository that the person stands in.
pub(super) struct Stage {
    _root: tempfile::TempDir,
    root: PathBuf,
    pub(super) folder: PathBuf,
    /// What others publish.
    kits: PathBuf,
    made: Made,
    /// Where the story is about machines that go on.
    machines: Option<Machines>,
    /// Whether it goes on where nothing was fetched.
    elsewhere: bool,
    /// What hardware virtualisation is good for.
    kvm: KvmState,
}

impl Stage {
    pub(super) fn new(beginning: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let folder = root.join("src/shop");
        // What a registry is called is a fact of the host; the operator's word goes before all others.
        fs::create_dir_all(root.join("home/.config/cofferdam")).unwrap();
        fs::write(root.join("home/.config/cofferdam/config.yaml"), CONFIG).unwrap();
        fs::create_dir_all(folder.join(".git/objects")).unwrap();
        fs::create_dir_all(folder.join(".git/refs")).unwrap();
        fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        if beginning.is_dir() {
            copy(beginning, &folder);
        }
        let machines =
            ["busy", "task", "waits"].iter().any(|story| beginning.ends_with(story)).then(|| Machines {
                store: Store::open(&root.join("state")).unwrap(),
                owner: Owner::discover(&folder).unwrap(),
                runtime: root.join("run"),
                keepers: Default::default(),
            });
        let kits = beginning.with_extension("kits");
        stage::serve(&root.join("served"));
        Self {
            _root: directory,
            root,
            folder,
            kits,
            made: Made::default(),
            machines,
            elsewhere: false,
            kvm: KvmState::Usable,
        }
    }

    fn play(&mut self, script: &str) -> String {
        let mut played = String::new();
        let mut lines = script.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(typed) = line.strip_prefix("$ ") else { continue };
            let _ = writeln!(played, "$ {typed}");
            let mut answers = Vec::new();
            while let Some(answer) = lines.peek().and_then(|line| line.strip_prefix("> ")) {
                let _ = writeln!(played, "> {answer}");
                answers.push(answer.to_owned());
                lines.next();
            }
            played.push_str(&self.run(typed, answers));
        }
        played
    }

    pub(super) fn run(&mut self, typed: &str, answers: Vec<String>) -> String {
        let mut words = words(typed);
        let variables: Vec<(String, String)> = words
            .iter()
            .map_while(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        words.drain(..variables.len());
        let [command, rest @ ..] = words.as_slice() else { return String::new() };
        let shown = match (command.as_str(), rest) {
            ("#", _) => String::new(),
            ("cat", [file]) => {
                fs::read_to_string(self.folder.join(file)).unwrap_or_else(|error| error.to_string())
            }
            ("mkdir", [folder]) => {
                self.folder.push(folder);
                fs::create_dir_all(&self.folder).unwrap();
                String::new()
            }
            ("cp", [from, to]) => {
                fs::copy(self.folder.join(from), self.folder.join(to)).unwrap();
                String::new()
            }
            ("cofferdam", [exec, name, _, program, .., end]) if exec == "exec" && end == "&" => {
                self.keeper(name).open("exec", program);
                String::new()
            }
            ("kill", _) => {
                self.keeper("dev").set("sessions", serde_json::json!([]));
                String::new()
            }
            ("computer", [other]) if other == "other" => {
                self.elsewhere = true;
                String::new()
            }
            ("computer", [other]) if other == "without-kvm" => {
                self.kvm = KvmState::Absent;
                String::new()
            }
            ("publish", [version]) => self.publish(version),
            ("git", [add, file]) if add == "add" => {
                let mut index = git2::Index::open(&self.folder.join(".git/index")).unwrap();
                let blank = git2::IndexTime::new(0, 0);
                index
                    .add(&git2::IndexEntry {
                        ctime: blank,
                        mtime: blank,
                        dev: 0,
                        ino: 0,
                        mode: 0o100_644,
                        uid: 0,
                        gid: 0,
                        file_size: 0,
                        id: git2::Oid::from_bytes(&[1; 20]).unwrap(),
                        flags: 0,
                        flags_extended: 0,
                        path: file.clone().into_bytes(),
                    })
                    .unwrap();
                index.write().unwrap();
                String::new()
            }
            ("cofferdam", _) => self.cofferdam(&words, &variables, answers),
            other => panic!("a transcript does not know {other:?}"),
        };
        let shown = shown.replace(self.root.join("home").to_str().unwrap(), "/home/ann");
        let shown = shown.replace(self.root.to_str().unwrap(), "");
        // Who ran it and when is no matter of the transcript.
        let time = r"\d{4}(-|&#45;)\d\d(-|&#45;)\d\dT([0-9:.]|&#58;)+Z";
        let answered = regex_lite::Regex::new(&format!(r"by \S+ at {time}")).unwrap();
        let shown = answered.replace_all(&shown, "by ann at [TIME]").into_owned();
        let fields = regex_lite::Regex::new(&format!(r#""by": "[^"]+",(\s+)"at": "{time}""#)).unwrap();
        fields.replace_all(&shown, r#""by": "ann",$1"at": "[TIME]""#).into_owned()
    }

    fn keeper(&self, name: &str) -> FakeKeeper {
        self.machines.as_ref().unwrap().keepers.borrow()[name].clone()
    }

    /// The next commit of the repository that others serve.
    fn publish(&self, version: &str) -> String {
        let served = git2::Repository::init_bare(self.root.join("served/acme")).unwrap();
        served.set_head("refs/heads/main").unwrap();
        let tree = tree(&served, &self.kits.join(version));
        let tree = served.find_tree(tree).unwrap();
        let who = git2::Signature::new("a", "a@x.example", &git2::Time::new(1, 0)).unwrap();
        let parent = served.head().ok().and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<_> = parent.iter().collect();
        let commit = served.commit(Some("refs/heads/main"), &who, &who, version, &tree, &parents).unwrap();
        format!("kits.example/acme main is {commit}\n")
    }

    fn cofferdam(&self, words: &[String], variables: &[(String, String)], answers: Vec<String>) -> String {
        let cli = match Cli::try_parse_from(words) {
            Ok(cli) => cli,
            Err(error) => return marked("", &error.render().to_string(), 2),
        };
        let mut cli = cli;
        cli.choose_form().unwrap();
        let (data, talk) = (Sink::default(), Sink::default());
        let out = Output::to(cli.output.format(), data.clone(), talk.clone());
        let env = |name: &str| {
            let own = |place: &str| Some(OsString::from(self.root.join(place)));
            match name {
                "HOME" => own("home"),
                "COFFERDAM_STATE" => own("state"),
                "COFFERDAM_CACHE" => own(if self.elsewhere { "other-cache" } else { "cache" }),
                _ => variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.into()),
            }
        };
        let host = Host::with(&env, &self.folder).unwrap();
        host.pretend_kvm(self.kvm.clone());
        if cli.locked {
            Documents::demand_locked(&host);
        }
        let ops = Rehearsal {
            host,
            made: self.made.clone(),
            trails: self.root.join("trails"),
            machines: self.machines.clone(),
        };
        // Whoever types answers sits at a terminal; nobody else does.
        let prompt = match answers.is_empty() {
            true => Prompt::new(true, None, false),
            false => Prompt::script(answers, talk.clone()),
        };
        let context = Context { out, prompt, ops: &ops };
        let code = end(cli.command.run(&context), &context.out);
        marked(&data.text(), &talk.text(), code)
    }
}

fn marked(data: &str, talk: &str, code: u8) -> String {
    let mut shown = data.to_owned();
    if !shown.is_empty() && !shown.ends_with('\n') {
        shown.push('\n');
    }
    for line in talk.lines() {
        let _ = writeln!(shown, "{}", format!("! {line}").trim_end());
    }
    if code != 0 {
        let _ = writeln!(shown, "[exit {code}]");
    }
    shown
}

/// Words as a shell would have them: spaces part, quotes hold together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => word.push(character),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// A folder as an object of a repository.
fn tree(repository: &git2::Repository, folder: &Path) -> git2::Oid {
    let mut builder = repository.treebuilder(None).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (id, mode) = match entry.path().is_dir() {
            true => (tree(repository, &entry.path()), git2::FileMode::Tree),
            false => (repository.blob(&fs::read(entry.path()).unwrap()).unwrap(), git2::FileMode::Blob),
        };
        builder.insert(entry.file_name(), id, mode.into()).unwrap();
    }
    builder.write().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
