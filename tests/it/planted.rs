//! What is not a file, where a command expects one: pipes that nobody writes to, folders, sockets, links to endless
//! devices, and files that are far too large, at every place in a repository that a command reads by itself, and at those
//! that its command line names. Each command ends, soon and in order, and neither follows nor fills its memory.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use git2::{Oid, Repository, Signature};
use rustix::{
    fs::{CWD, FileType, Mode, mkfifoat, mknodat},
    process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit},
};

const FILES: &[(&str, &str)] = &[
    (
        "sandbox.yaml",
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  kits: [./kits/extra]\n  \
workspace: {path: ., mode: read}\n  files: [{path: ~/.x, source: ./x.txt}]\n",
    ),
    (
        "sandbox.local.yaml",
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec: {}\n",
    ),
    ("x.txt", "x\n"),
    (
        "kits/extra/kit.yaml",
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: extra}\nspec: {}\n",
    ),
    ("kits/extra/files/home/.y", "y\n"),
];

/// Places that commands read by themselves, the last two of the operator.
const PLACES: &[&str] = &[
    ".git",
    ".git/HEAD",
    ".git/config",
    ".git/commondir",
    ".git/index",
    ".git/info/grafts",
    ".git/objects",
    ".git/objects/ab/0123456789012345678901234567890123456789",
    ".git/objects/info/alternates",
    ".git/objects/info/commit-graph",
    ".git/objects/pack/multi-pack-index",
    ".git/objects/pack/pack-0123456789012345678901234567890123456789.idx",
    ".git/packed-refs",
    ".git/refs/heads/main",
    ".git/shallow",
    ".cofferdam",
    ".cofferdam/approvals.yaml",
    ".cofferdam/more.yaml",
    "kits",
    "kits/extra/kit.yaml",
    "kits/extra/files",
    "kits/extra/files/home/.y",
    "sandbox.local.yaml",
    "sandbox.lock",
    "sandbox.yaml",
    "x.txt",
    "../home/none.yaml",
    "../home/sandbox.yaml",
];
const COMMANDS: &[&str] =
    &["check -f .", "plan", "plan --against main", "update", "kit check kits/extra", "policy ls"];

/// The same for a repository that is not set up yet.
const FIRST_PLACES: &[&str] = &[
    ".cofferdam",
    ".devcontainer/devcontainer.json",
    ".devcontainer.json",
    ".github/workflows/cofferdam.yml",
    ".mcp.json",
    ".worktreeinclude",
    "Cargo.lock",
    "package-lock.json",
    "sbxenv.yaml",
    "sandbox.yaml",
];
const FIRST_COMMANDS: &[&str] =
    &["init --force --ci github", "init --force --from devcontainer", "init --force --from sbxenv"];

/// Command lines that name a file, `named`.
const NAMED: &[&str] = &[
    "apply named",
    "check -f named",
    "create --name x --env-file named shell .",
    "delete -f named --yes",
    "kit check named",
    "kit import named",
    "plan -f named --against main",
    "plan --replay named",
    "run --no-input --task-file named shell",
    "run --no-input --env-file named --task hi shell",
];

/// Every command gives one of these; a panic is 101, an end by a signal none.
const CODES: &[i32] = &[0, 1, 2, 3, 5, 6, 8];
const SOON: Duration = Duration::from_secs(60);
/// More than a command needs, and less than it takes to hold one of the large files twice.
const ADDRESSES: u64 = 6 << 30;

/// Somebody's checkout, and a home.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = Self { folder: tempfile::tempdir().expect("the stage is set") };
        let repository = Repository::init(world.at("")).expect("the stage is set");
        for (path, text) in files {
            fs::create_dir_all(world.at(path).parent().expect("the stage is set")).expect("the stage is set");
            fs::write(world.at(path), text).expect("the stage is set");
        }
        let mut index = repository.index().expect("the stage is set");
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).expect("the stage is set");
        index.write().expect("the stage is set");
        let tree =
            repository.find_tree(index.write_tree().expect("the stage is set")).expect("the stage is set");
        let who = Signature::now("Ann", "ann@team.example").expect("the stage is set");
        let base: Oid =
            repository.commit(None, &who, &who, "a commit", &tree, &[]).expect("the stage is set");
        fs::write(world.at(".git/refs/heads/main"), format!("{base}\n")).expect("the stage is set");
        fs::write(world.at(".git/HEAD"), format!("{base}\n")).expect("the stage is set");
        fs::create_dir_all(world.folder.path().join("home")).expect("the stage is set");
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("web").join(path)
    }

    #[expect(clippy::disallowed_methods, reason = "the program is started from outside, as its users do")]
    fn starts(&self, line: &str, input: Stdio) -> Child {
        let own = |name: &str| self.folder.path().join(name);
        let child = Command::new(env!("CARGO_BIN_EXE_cofferdam"))
            .args(line.split_whitespace())
            .current_dir(self.at(""))
            .env_clear()
            .env("HOME", own("home"))
            .env("CI", "true")
            .env("COFFERDAM_STATE", own("state"))
            .env("COFFERDAM_CACHE", own("cache"))
            .env("COFFERDAM_CONFIG", own("home/none.yaml"))
            .env("XDG_RUNTIME_DIR", own("run"))
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the stage is set");
        let limit = Rlimit { current: Some(ADDRESSES), maximum: Some(ADDRESSES) };
        // It may have ended already.
        let _ = prlimit(Pid::from_raw(child.id().cast_signed()), Resource::As, limit);
        child
    }

    /// What it said; `None` where it had to be ended.
    fn types(&self, line: &str, input: Stdio, within: Duration) -> Option<Output> {
        let child = self.starts(line, input);
        let pid = Pid::from_raw(child.id().cast_signed()).expect("the stage is set");
        let (told, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || told.send(child.wait_with_output().expect("the stage is set")));
            let output = ended.recv_timeout(within).ok();
            if output.is_none() {
                kill_process(pid, Signal::KILL).expect("the stage is set");
            }
            output
        })
    }

    fn ends_in_order(&self, line: &str, why: &str) {
        let Some(output) = self.types(line, Stdio::null(), SOON) else { panic!("{line}: waits, {why}") };
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.code().is_some_and(|code| CODES.contains(&code)), "{line}, {why}: {said}");
        assert!(!said.contains("panicked"), "{line}, {why}: {said}");
    }

    /// Has something else lie at a place while `then` runs.
    fn planted(&self, place: &str, plant: Plant, then: impl FnOnce()) {
        let (path, aside) = (self.at(place), self.folder.path().join("aside"));
        let parents: Vec<PathBuf> =
            path.ancestors().skip(1).take_while(|it| !it.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(path.parent().expect("the stage is set")).expect("the stage is set");
        let moved = fs::rename(&path, &aside).is_ok();
        plant(&path);
        then();
        // A command that writes may have put a file there.
        let removed = if path.symlink_metadata().expect("the stage is set").is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.expect("the stage is set");
        if moved {
            fs::rename(&aside, &path).expect("the stage is set");
        }
        for parent in parents {
            fs::remove_dir_all(parent).expect("the stage is set");
        }
    }
}

type Plant = fn(&Path);

fn everywhere(what: &str, plant: Plant) {
    let world = World::new(FILES);
    // Without any of it the files are right.
    assert_eq!(
        world.types("check -f .", Stdio::null(), SOON).expect("the stage is set").status.code(),
        Some(0)
    );
    for place in PLACES {
        world.planted(place, plant, || {
            COMMANDS.iter().for_each(|line| world.ends_in_order(line, &format!("{what} as {place}")));
        });
    }
    world.planted("named", plant, || {
        NAMED.iter().for_each(|line| world.ends_in_order(line, what));
    });
    let first = World::new(&[]);
    for place in FIRST_PLACES {
        first.planted(place, plant, || {
            FIRST_COMMANDS.iter().for_each(|line| first.ends_in_order(line, &format!("{what} as {place}")));
        });
    }
}

#[test]
fn pipes_that_nobody_writes_to() {
    everywhere("a pipe", |path| mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("the stage is set"));
}

#[test]
fn folders() {
    everywhere("a folder", |path| fs::create_dir(path).expect("the stage is set"));
}

#[test]
fn sockets() {
    everywhere("a socket", |path| {
        mknodat(CWD, path, FileType::Socket, Mode::RUSR | Mode::WUSR, 0).expect("the stage is set")
    });
}

#[test]
fn links_to_what_never_ends() {
    everywhere("a link", |path| symlink("/dev/zero", path).expect("the stage is set"));
}

#[test]
fn a_gibibyte_of_nothing() {
    everywhere("a file of 1 GiB", |path| {
        fs::File::create(path).expect("the stage is set").set_len(1 << 30).expect("the stage is set")
    });
}

/// The break: a command that waits for ever is noticed.
#[test]
fn a_command_that_waits_is_found_out() {
    let (input, never_written) = std::io::pipe().expect("the stage is set");
    let waits = World::new(FILES).types("check -f -", Stdio::from(input), Duration::from_secs(2));
    assert!(waits.is_none(), "nobody wrote, and nobody closed it");
    drop(never_written);
}
