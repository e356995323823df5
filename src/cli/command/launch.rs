//! What `create` and `run` ask for, as the document that it stands for: one way into the system, one set of checks.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{
    cli::{
        args::{EnvArgs, Publish},
        failure::Failure,
        output::Output,
    },
    model::{name::Name, unit::Bytes},
};

/// Flags of `create` and `run`.
#[derive(Debug, Default, clap::Args)]
pub struct LaunchArgs {
    /// Name; default: the agent's and the folder's
    #[arg(long)]
    pub name: Option<Name>,
    /// How the workspace enters
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Working directory in the sandbox
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Base template
    #[arg(short, long, value_name = "IMAGE")]
    pub template: Option<String>,
    #[command(flatten)]
    pub env: EnvArgs,
    /// Secret by name, to be injected where its service says
    #[arg(long, value_name = "NAME")]
    pub secret: Vec<String>,
    /// Host that may be reached
    #[arg(long, value_name = "PATTERN")]
    pub allow: Vec<String>,
    /// Host that must not be reached
    #[arg(long, value_name = "PATTERN")]
    pub deny: Vec<String>,
    /// Further host folder
    #[arg(long, value_name = "SRC:DST[:ro]")]
    pub mount: Vec<String>,
    /// Port of the sandbox on this host's loopback, under HOST or the same number; taken: the next free one
    #[arg(short, long, value_name = "[HOST:]PORT")]
    pub publish: Vec<Publish>,
    /// Virtual CPUs
    #[arg(long, value_name = "N")]
    pub cpus: Option<u8>,
    /// Guest memory, for example 4GiB
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<Bytes>,
    /// Size of the data disk
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<Bytes>,
    /// Grant what this command asks for without a question
    #[arg(short, long)]
    pub yes: bool,
    /// Mixin on top of the agent, in order
    #[arg(long, value_name = "KIT")]
    pub kit: Vec<String>,
    /// Argument of the agent's kit
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub kit_argument: Vec<String>,
    #[command(flatten)]
    pub later: LaterArgs,
}

/// Flags of the contract that a later release brings: known, and refused by name.
#[derive(Debug, Default, clap::Args)]
pub struct LaterArgs {
    #[arg(long, hide = true)]
    branch: Option<String>,
    #[arg(long, hide = true)]
    base: Option<String>,
    #[arg(long, hide = true)]
    with_changes: bool,
    #[arg(long, hide = true)]
    host_config: bool,
}

/// How a workspace enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The agent writes the host's folder
    Direct,
    /// Read-only
    Read,
    /// On a branch of its own (not available yet)
    Branch,
    /// On a layer of its own (not available yet)
    Overlay,
}

impl LaterArgs {
    fn refuse(&self) -> Result<(), Failure> {
        let given = [
            ("--branch", self.branch.is_some()),
            ("--base", self.base.is_some()),
            ("--with-changes", self.with_changes),
            ("--host-config", self.host_config),
        ];
        let Some((flag, _)) = given.iter().find(|(_, given)| *given) else { return Ok(()) };
        let hint = match *flag {
            "--host-config" => "put what the agent needs into its home by `files` in a file",
            _ => "a workspace enters as it is: `.` lets the agent write there, `.:ro` keeps it from writing",
        };
        Err(Failure::not_available(flag).hint(hint))
    }
}

impl LaunchArgs {
    /// Refuses what is not available yet.
    ///
    /// # Errors
    /// With the first such flag.
    pub fn refuse_later(&self) -> Result<(), Failure> {
        self.later.refuse()
    }

    /// Whether a flag is given that only a new sandbox can follow.
    #[must_use]
    pub fn shapes_a_new_one(&self) -> bool {
        let lists = [&self.secret, &self.allow, &self.deny, &self.mount, &self.kit, &self.kit_argument];
        self.mode.is_some()
            || self.template.is_some()
            || !self.publish.is_empty()
            || lists.iter().any(|list| !list.is_empty())
            || !self.resources().is_empty()
    }

    /// Whether a flag is given that holds for a session, too.
    #[must_use]
    pub fn has_session_flags(&self) -> bool {
        self.workdir.is_some() || !self.env.env.is_empty() || !self.env.env_file.is_empty()
    }

    /// The Sandbox document that the command line stands for. Paths are absolute in it.
    ///
    /// # Errors
    /// A flag that is not available yet, or has a wrong form.
    pub fn document_from(
        &self,
        agent: &str,
        paths: &[PathBuf],
        current: &Path,
        out: &Output,
    ) -> Result<Value, Failure> {
        self.refuse_later()?;
        let own = |name: &str| std::env::var(name).ok();
        let env = self.env.variables(&own, out)?;
        let mut workspaces = paths.iter().map(|path| folder(path, current));
        let workspace = workspaces.next();
        let name = match &self.name {
            Some(name) => name.as_str().to_owned(),
            None => default_name(agent, workspace.as_ref().map_or(current, |(path, _)| path)),
        };
        let mut spec = Map::new();
        spec.insert("agent".into(), self.agent(agent)?);
        insert_if(&mut spec, "kits", !self.kit.is_empty(), json!(self.kit));
        if let Some((path, read_only)) = workspace {
            spec.insert("workspace".into(), json!({ "path": path, "mode": self.mode_word(read_only)? }));
        } else if self.mode.is_some() {
            return Err(Failure::usage(
                "mode_without_path",
                "--mode needs a workspace: name its folder, for example `.`",
            ));
        }
        let mut mounts = Vec::new();
        for (path, read_only) in workspaces {
            mounts.push(mount(&path, &path.to_string_lossy(), read_only));
        }
        for text in &self.mount {
            mounts.push(parse_mount(text, current)?);
        }
        insert_if(&mut spec, "mounts", !mounts.is_empty(), json!(mounts));
        insert_if(&mut spec, "env", !env.is_empty(), json!(env));
        insert_if(&mut spec, "secrets", !self.secret.is_empty(), json!(self.secret));
        let ports = self.publish.iter().map(|port| match port.host {
            Some(host) => json!({ "guest": port.guest, "host": host }),
            None => json!({ "guest": port.guest }),
        });
        insert_if(&mut spec, "ports", !self.publish.is_empty(), ports.collect());
        let allow = self.allow.iter().map(|pattern| json!({ "allow": pattern, "why": WHY }));
        let deny = self.deny.iter().map(|pattern| json!({ "deny": pattern, "why": WHY }));
        let rules: Vec<Value> = allow.chain(deny).collect();
        insert_if(&mut spec, "network", !rules.is_empty(), json!({ "rules": rules }));
        insert_if(&mut spec, "template", self.template.is_some(), json!({ "image": self.template }));
        insert_if(&mut spec, "workingDir", self.workdir.is_some(), json!(self.workdir));
        let resources = self.resources();
        insert_if(&mut spec, "resources", !resources.is_empty(), Value::Object(resources));
        Ok(json!({
            "apiVersion": "cofferdam.dev/v1alpha1",
            "kind": "Sandbox",
            "metadata": { "name": name },
            "spec": spec,
        }))
    }

    /// The agent's kit; with arguments, in its long form.
    fn agent(&self, kit: &str) -> Result<Value, Failure> {
        if self.kit_argument.is_empty() {
            return Ok(json!(kit));
        }
        let mut args = Map::new();
        for text in &self.kit_argument {
            let (name, value) =
                text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    Failure::usage("argument_form", format!("`{text}` is not of the form NAME=VALUE"))
                })?;
            args.insert(name.to_owned(), json!(value));
        }
        Ok(json!({ "kit": kit, "args": args }))
    }

    fn mode_word(&self, read_only: bool) -> Result<&'static str, Failure> {
        match self.mode {
            Some(Mode::Branch) => Err(Failure::not_available("--mode branch")),
            Some(Mode::Overlay) => Err(Failure::not_available("--mode overlay")),
            Some(Mode::Direct) if read_only => {
                Err(Failure::usage("mode_conflict", "`:ro` and `--mode direct` exclude each other"))
            }
            // Whoever names a folder without `:ro` on the command line means it to be worked on, as with `docker`.
            Some(Mode::Direct) => Ok("direct"),
            None if !read_only => Ok("direct"),
            Some(Mode::Read) | None => Ok("read"),
        }
    }

    fn resources(&self) -> Map<String, Value> {
        let mut resources = Map::new();
        insert_if(&mut resources, "cpus", self.cpus.is_some(), json!(self.cpus));
        let sizes = [("memory", self.memory), ("disk", self.disk)];
        for (key, size) in sizes.into_iter().filter_map(|(key, size)| Some((key, size?))) {
            resources.insert(key.into(), json!(size.to_string()));
        }
        resources
    }
}

/// Why a rule or mount of a command line stands there; the document must say one.
const WHY: &str = "asked for on the command line";

fn insert_if(map: &mut Map<String, Value>, key: &str, wanted: bool, value: Value) {
    if wanted {
        map.insert(key.to_owned(), value);
    }
}

/// `PATH[:ro]`, absolute, without `.`; behind a `..` the disk is asked where it leads.
fn folder(path: &Path, current: &Path) -> (PathBuf, bool) {
    let text = path.as_os_str().as_encoded_bytes();
    let (path, read_only) = match text.strip_suffix(b":ro") {
        Some(path) => {
            use std::os::unix::ffi::OsStrExt as _;
            (PathBuf::from(std::ffi::OsStr::from_bytes(path)), true)
        }
        None => (path.to_owned(), false),
    };
    let path: PathBuf = current.join(path).components().collect();
    let climbs = path.components().any(|part| part == Component::ParentDir);
    // One that is not there is told by whoever looks for it, as it was typed.
    let led = climbs.then(|| path.canonicalize().ok()).flatten();
    (led.unwrap_or(path), read_only)
}

fn mount(source: &Path, target: &str, read_only: bool) -> Value {
    let access = if read_only { "read" } else { "write" };
    json!({ "source": source, "target": target, "access": access, "why": WHY })
}

fn parse_mount(text: &str, current: &Path) -> Result<Value, Failure> {
    let wrong = || Failure::usage("mount_form", format!("`{text}` is not of the form SRC:DST[:ro]"));
    let (rest, read_only) = text.strip_suffix(":ro").map_or((text, false), |rest| (rest, true));
    let (source, target) = rest.split_once(':').ok_or_else(wrong)?;
    if source.is_empty() || !target.starts_with('/') || target.contains(':') {
        return Err(wrong());
    }
    // A leading `~` is the shell's business; quoted, it stays, and the document's own rules expand it.
    let source =
        if source.starts_with("~/") { PathBuf::from(source) } else { folder(Path::new(source), current).0 };
    Ok(mount(&source, target, read_only))
}

/// `AGENT-FOLDER`, brought to the form of a name.
fn default_name(agent: &str, folder: &Path) -> String {
    let folder = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    // Of a path the last part is the kit's name.
    let agent =
        agent.parse::<crate::kit::GitSource>().map_or(agent.to_owned(), |source| source.name().to_owned());
    let agent = agent.as_str();
    let kit = agent.trim_end_matches('/').rsplit('/').next().unwrap_or(agent);
    let kit = if crate::kit::is_archive(Path::new(kit)) { kit.split('.').next().unwrap_or(kit) } else { kit };
    let mut name: String = kit.chars().filter(|character| allowed(*character) || *character == '-').collect();
    for word in folder.split(|character| !allowed(character)).filter(|word| !word.is_empty()) {
        name.push('-');
        name.push_str(word);
    }
    name.truncate(crate::model::name::NAME_MAX);
    name.truncate(name.trim_end_matches('-').len());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_names() {
        for (agent, folder, expected) in [
            ("shell", "/src/My Project", "shell-my-project"),
            ("shell", "/", "shell"),
            ("shell", "/src/éa..b", "shell-a-b"),
            ("./kits/review.tar.gz", "/src/shop", "review-shop"),
            ("git+https://git.example/acme/helper.git#ref=v1", "/src/shop", "helper-shop"),
            ("git+https://git.example/acme/kits#ref=v1&dir=agents/own", "/src/shop", "own-shop"),
        ] {
            assert_eq!(default_name(agent, Path::new(folder)), expected);
        }
        let long = default_name("shell", Path::new(&format!("/{}", "x-".repeat(60))));
        assert!(long.parse::<Name>().is_ok(), "{long}");
    }

    #[test]
    fn folders_and_mounts() {
        let here = Path::new("/src");
        assert_eq!(folder(Path::new("."), here), ("/src".into(), false));
        assert_eq!(folder(Path::new("a:ro"), here), ("/src/a".into(), true));
        assert_eq!(folder(Path::new("/x/./y"), here), ("/x/y".into(), false));
        assert_eq!(folder(Path::new("../usr/../usr"), Path::new("/proc")), ("/usr".into(), false));
        assert_eq!(folder(Path::new("../nope"), here), ("/src/../nope".into(), false));
        let mount = parse_mount("data:/data:ro", here).unwrap();
        assert_eq!(
            (&mount["source"], &mount["target"], &mount["access"]),
            (&json!("/src/data"), &json!("/data"), &json!("read"))
        );
        assert_eq!(parse_mount("~/x:/x", here).unwrap()["source"], "~/x");
        for bad in ["", "a", ":/x", "a:b", "a:/b:rw", "a:/b:/c"] {
            assert!(parse_mount(bad, here).is_err(), "{bad}");
        }
    }
}
