//! The stage: a folder with everything that the story needs, a sandbox in it, and hands to act inside.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::upstream::World;
use crate::{
    audit::{query, verify},
    cli::{
        client::{self, Client},
        failure::{Failure, Kind},
        host::Host,
        ops::{Found, Machines, Plans, Progress, Source, Wish},
        session::{Ended, Output, Session},
    },
    model::{event::Event, redacted::Redacted, session::SessionKind, status::SandboxStatus},
    wire::{self, ExecRequest},
};

/// The model provider, which the sandbox may reach.
pub(super) const MODEL: &str = "api.model.example";
/// The paste site, which its file denies.
pub(super) const PASTE: &str = "paste.example";
/// A host that no rule names.
pub(super) const UNLISTED: &str = "unlisted.example";
/// The tool server that nobody approved.
pub(super) const TOOLS: &str = "tools.example";
/// Header that carries the model provider's key.
pub(super) const KEY_HEADER: &str = "x-api-key";
/// Variable that holds the placeholder in the guest.
pub(super) const KEY_VARIABLE: &str = "MODEL_API_KEY";

/// One attack and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Attack {
    pub id: &'static str,
    pub title: &'static str,
    pub blocked: bool,
    pub evidence: String,
    /// How its event in the audit trail is told.
    #[serde(skip)]
    pub trace: fn(&Event) -> bool,
}

impl Attack {
    /// Adds another half of the same attack.
    pub(super) fn add(&mut self, (blocked, evidence): (bool, String)) {
        self.blocked &= blocked;
        self.evidence = format!("{}; {evidence}", self.evidence);
    }
}

/// What a command inside left behind.
pub(super) struct Done {
    pub code: u8,
    pub stdout: String,
}

pub(super) struct Stage {
    pub host: Host,
    pub world: World,
    /// The key that the model provider must get and the agent must not.
    pub key: Redacted,
    pub home: PathBuf,
    name: String,
    // Last, so that it is removed when everything else is down.
    folder: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A story that broke off leaves no machine behind.
        if let Ok(sandbox) = self.host.find(&self.name) {
            let _ = self.host.stop(&sandbox, std::time::Duration::from_secs(1), true);
            let _ = self.host.remove(&sandbox, true);
        }
    }
}

impl Stage {
    /// Plants credentials, starts the world, writes configuration and sandbox file.
    pub(super) fn build(cache: &Path, name: &str) -> Result<Self, Failure> {
        Self::set(cache, name).map_err(|error| {
            Failure::new(Kind::Failed, "demo", "the demo's stage cannot be set").caused_by(&error)
        })?
    }

    fn set(cache: &Path, name: &str) -> io::Result<Result<Self, Failure>> {
        let folder = tempfile::Builder::new().prefix("cofferdam-demo-").tempdir()?;
        let at = |part: &str| folder.path().join(part);
        let home = at("home");
        for part in ["home/.ssh", "home/.aws", "work", "config"] {
            fs::create_dir_all(at(part))?;
        }
        fs::write(home.join(".ssh/id_ed25519"), "planted: not a key\n")?;
        fs::write(home.join(".aws/credentials"), "[default]\naws_secret_access_key = planted\n")?;
        let key = random_key()?;
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(at("config/model.key"))?;
        file.write_all(key.expose())?;
        let world = World::start(&[MODEL, PASTE, UNLISTED, TOOLS], KEY_HEADER)?;
        fs::write(at("config/world.pem"), &world.authority_pem)?;
        fs::write(at("config/config.yaml"), configuration(&world, folder.path()).to_string())?;
        fs::write(at("work/README"), "the agent's work\n")?;
        let variables = [
            ("HOME", home.clone()),
            ("COFFERDAM_STATE", at("state")),
            ("COFFERDAM_CONFIG", at("config/config.yaml")),
            ("COFFERDAM_CACHE", cache.to_owned()),
        ];
        let env = move |wanted: &str| -> Option<OsString> {
            let set = variables.iter().find(|(name, _)| *name == wanted);
            set.map_or_else(|| std::env::var_os(wanted), |(_, value)| Some(value.clone().into_os_string()))
        };
        let host = match Host::with(&env, &at("work")) {
            Ok(host) => host,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(Ok(Self { host, world, key, home, name: name.to_owned(), folder }))
    }

    /// The sandbox's document, with further members of its `spec`.
    pub(super) fn document(&self, more: Value) -> Source {
        let mut spec = json!({
            "agent": "shell",
            "workspace": { "path": self.folder.path().join("work"), "mode": "direct" },
            "network": { "rules": [
                { "allow": format!("{MODEL}:443"), "http": [{ "methods": ["GET", "POST"] }], "why": "the agent's model" },
                { "deny": [PASTE], "why": "nothing leaves by paste" },
            ]},
            "secrets": [{
                "name": "model", "env": KEY_VARIABLE, "placeholder": "sk-demo-{alnum:32}", "why": "the agent's model",
                "inject": [{ "host": MODEL, "header": KEY_HEADER, "format": "{}" }],
            }],
            "resources": { "cpus": 2, "memory": "1GiB", "disk": "2GiB" },
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        Source::CommandLine(Box::new(json!({
            "apiVersion": "cofferdam.dev/v1alpha1",
            "kind": "Sandbox",
            "metadata": { "name": self.name },
            "spec": spec,
        })))
    }

    /// Makes and starts the sandbox, as `apply --yes` does.
    pub(super) fn start(&self, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
        let proposal = self.host.propose(&self.document(json!({})), &Wish::default())?;
        let statuses = self.host.apply(&proposal, &Wish::default(), on)?;
        statuses
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new(Kind::Failed, "demo", "the sandbox has no status"))
    }

    pub(super) fn sandbox(&self) -> Result<Found, Failure> {
        self.host.find(&self.name)
    }

    /// Runs a shell script inside as the agent. The script is ours; nothing of the guest's is put into it.
    pub(super) fn inside(&self, script: &str) -> Result<Done, Failure> {
        let client = Client::new(self.sandbox()?.socket);
        let request = ExecRequest {
            version: wire::VERSION,
            argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
            env: std::collections::BTreeMap::new(),
            working_dir: None,
            user: None,
            tty: None,
            stdin: false,
        };
        let broke = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(Kind::Failed, "demo", "a command inside broke off").caused_by(error)
        };
        let stdout = tempfile::tempfile().map_err(|error| broke(&error))?;
        let written = stdout.try_clone().map_err(|error| broke(&error))?;
        let stderr = File::options().write(true).open("/dev/null").map_err(|error| broke(&error))?;
        let ended = client::block_on(async {
            let guest = client.exec(SessionKind::Exec, &request).await?;
            let (_keep, events) = tokio::sync::mpsc::channel(1);
            let session = Session {
                guest,
                input: None,
                output: Output::from_files(written, stderr),
                events,
                timeout: Some(std::time::Duration::from_secs(60)),
            };
            session.run().await.map_err(|error| broke(&error))
        })?;
        let text = read_from_start(stdout).map_err(|error| broke(&error))?;
        let code = match ended {
            Ended::Command(code) | Ended::Left(code) => code,
            Ended::TimedOut => crate::cli::session::CODE_TIMEOUT,
        };
        Ok(Done { code, stdout: text })
    }

    /// Verifies every trail, and adds to each attack whether the trail shows it.
    pub(super) fn audit(&self, attacks: &mut [Attack]) -> Result<(u64, bool), Failure> {
        let broken = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(Kind::Failed, "audit", "the audit trail cannot be read").caused_by(error)
        };
        let (mut count, mut verified, mut events) = (0, true, Vec::new());
        for trail in self.host.trails(None)? {
            let report = verify::directory(&trail, None).map_err(|error| broken(&error))?;
            count += report.events;
            verified &= report.bad.is_none();
            for event in
                query::oldest_first(&trail, query::Filter::default()).map_err(|error| broken(&error))?
            {
                events.push(event.map_err(|error| broken(&error))?);
            }
        }
        for attack in attacks {
            let event = events.iter().find(|event| (attack.trace)(event));
            let rule =
                event.map(|event| event.rule.as_ref().map_or(event.reason.clone(), |rule| rule.id.clone()));
            let words = rule
                .as_ref()
                .map_or("no event in the audit trail".to_owned(), |rule| format!("audited: {rule}"));
            attack.add((rule.is_some(), words));
        }
        Ok((count, verified))
    }

    /// Whether a request for `host` arrived at the world.
    pub(super) fn arrived(&self, host: &str) -> bool {
        self.world.arrivals().iter().any(|arrival| arrival.host == host)
    }
}

/// JSON is YAML.
fn configuration(world: &World, folder: &Path) -> Value {
    // Every name leads to the world, so that what is blocked is blocked by policy and by nothing else.
    let resolve: serde_json::Map<String, Value> = [MODEL, PASTE, UNLISTED, TOOLS]
        .iter()
        .map(|name| (format!("{name}:443"), json!(world.address.to_string())))
        .collect();
    json!({
        "egress": { "resolve": resolve, "upstreamCa": [folder.join("config/world.pem")] },
        "secrets": { "sources": { "model": { "file": folder.join("config/model.key") } } },
    })
}

fn random_key() -> io::Result<Redacted> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Redacted::new(format!("sk-real-{digits}").into_bytes()))
}

fn read_from_start(mut file: File) -> io::Result<String> {
    use std::io::{Read, Seek};
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
