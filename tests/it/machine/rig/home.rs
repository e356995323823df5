//! A user's home: configuration, state, credentials that nobody may see, and folders to work in.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use super::reaper::{binary, folder};

/// Contents of the credentials that every home has.
pub const HOST_CREDENTIAL: &str = "host-credential-7d1f";

/// What a command did.
#[derive(Debug)]
pub struct Output {
    /// Exit code, 128 + n for a signal.
    pub code: i32,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl Output {
    fn of(child: Child) -> Self {
        let output = child.wait_with_output().expect("it ends");
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output of a command that has to succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// Its JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The error object of a command that has to fail with a code.
    #[track_caller]
    pub fn refused(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:#?}");
        let object = self.stderr.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        object.unwrap_or_else(|| panic!("no error object: {self:#?}"))
    }
}

/// One user's places.
pub struct Home {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Home {
    /// A home with default configuration, under a name that no other test has.
    pub fn new(name: &str) -> Self {
        require_boot_files();
        let home = Self { folder: folder().join(name), variables: Vec::new() };
        for below in ["home/.ssh", "home/.aws", "config", "ws"] {
            fs::create_dir_all(home.path(below)).expect("a fresh folder");
        }
        for below in ["home/.ssh/id_ed25519", "home/.aws/credentials"] {
            fs::write(home.path(below), HOST_CREDENTIAL).expect("our own folder");
        }
        home.configure("{}\n");
        home
    }

    /// A path below its folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    /// The caller's cache, which every home uses that exports no other.
    pub fn cache(&self) -> PathBuf {
        cache()
    }

    /// Writes the operator's configuration.
    pub fn configure(&self, yaml: &str) {
        fs::write(self.path("config/config.yaml"), yaml).expect("our own folder");
    }

    /// A variable of every command's environment, as a user's shell exports it.
    pub fn export(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a `sandbox.yaml` into a folder below, made where it is missing. `spec` is in flow or block style, at
    /// two spaces.
    pub fn define(&self, below: &str, name: &str, spec: &str) {
        let folder = self.path(below);
        fs::create_dir_all(&folder).expect("our own folder");
        let text = format!(
            "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: {name}}}\nspec:\n  agent: shell\n  \
             resources: {{cpus: 2, memory: 512MiB}}\n{spec}"
        );
        fs::write(folder.join("sandbox.yaml"), text).expect("our own folder");
    }

    /// The program, to be started in a folder below.
    pub fn command<S: AsRef<OsStr>>(&self, below: &str, arguments: &[S]) -> Command {
        self.wrapped(below, &[] as &[&str], arguments)
    }

    /// The program, started by another (`setsid` and the like).
    pub fn wrapped<W: AsRef<OsStr>, S: AsRef<OsStr>>(
        &self,
        below: &str,
        by: &[W],
        arguments: &[S],
    ) -> Command {
        let mut command = match by {
            [] => program(binary()),
            [first, rest @ ..] => {
                let mut command = program(first);
                command.args(rest).arg(binary());
                command
            }
        };
        command
            .args(arguments)
            .current_dir(self.path(below))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm")
            .env("HOME", self.path("home"))
            .env("COFFERDAM_STATE", self.path("state"))
            .env("COFFERDAM_CONFIG", self.path("config/config.yaml"))
            .env("COFFERDAM_CACHE", cache())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it in `ws` with nothing to read.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.run_in("ws", arguments)
    }

    /// Runs it in a folder below with nothing to read.
    pub fn run_in<S: AsRef<OsStr>>(&self, below: &str, arguments: &[S]) -> Output {
        self.feed(below, arguments, b"")
    }

    /// Runs it with something on its standard input.
    pub fn feed<S: AsRef<OsStr>>(&self, below: &str, arguments: &[S], input: &[u8]) -> Output {
        let mut command = self.command(below, arguments);
        let mut child = piped(&mut command).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        std::thread::scope(|scope| {
            // The program may end without having read everything.
            scope.spawn(move || stdin.write_all(input));
            Output::of(child)
        })
    }

    /// Runs a shell script in a sandbox, as the agent.
    pub fn guest(&self, sandbox: &str, script: &str) -> Output {
        self.run(&["exec", sandbox, "--", "bash", "-c", script])
    }

    /// Runs a shell script in a sandbox, as root.
    pub fn guest_root(&self, sandbox: &str, script: &str) -> Output {
        self.run(&["exec", "-u", "root", sandbox, "--", "bash", "-c", script])
    }

    /// What `status` says about the sandbox of `ws`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let status = self.run(&["status", "-o", "json"]);
        assert_eq!(status.code, 0, "{status:#?}");
        let (status, file) = (status.json(), self.path("ws/sandbox.yaml"));
        let sandboxes = status["sandboxes"].as_array().expect("a list");
        let found = sandboxes.iter().find(|it| it["file"].as_str().is_some_and(|it| file == Path::new(it)));
        found.unwrap_or_else(|| panic!("no sandbox of {} in {status:#}", file.display())).clone()
    }

    /// Events of a sandbox's trail, or with `None` of all trails.
    pub fn events(&self, sandbox: Option<&str>) -> Vec<Value> {
        let mut arguments = vec!["audit", "query", "-o", "json"];
        arguments.extend(sandbox);
        let lines = self.run(&arguments).ok();
        lines.lines().map(|line| serde_json::from_str(line).expect("an event on each line")).collect()
    }

    /// The folder that holds the state of the sandbox of `ws`.
    #[track_caller]
    pub fn sandbox_folder(&self) -> PathBuf {
        self.path("state/sandboxes").join(self.status()["id"].as_str().expect("an id"))
    }
}

/// A process that a test starts.
#[expect(clippy::disallowed_methods, reason = "tests start the program from outside, as a shell does")]
pub fn program(path: impl AsRef<OsStr>) -> Command {
    Command::new(path)
}

/// With its three streams on pipes.
pub fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Where kernel and template lie: the caller's own cache, because building them takes minutes.
pub fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("COFFERDAM_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("cofferdam")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/cofferdam")))
        .expect("HOME is set")
}

fn require_boot_files() {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let cache: &Path = &cache();
        cache.is_dir() && cofferdam::template::Cache::open(cache).is_ok_and(|cache| cache.find().is_some())
    });
    assert!(*found, "kernel and template are not there: run `cargo run -- doctor --fix --yes` first");
}
