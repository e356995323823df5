//! Starting a sandbox's processes: brokers for its secrets, then its launcher, then the wait for its guest.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    process::Stdio,
};

use super::{Host, machines::state_failure};
use crate::{
    cli::{
        client::{self, Client},
        failure::{Failure, Kind},
        ops::Progress,
    },
    engine::qemu,
    kit,
    model::{
        config::{AuditSync, JailDemand, KernelChoice},
        launch::{self, BrokerConfig, KeeperConfig},
        secret::{SecretBinding, SecretSource},
        status::{Phase, SandboxStatus},
    },
    store::{Record, answers::Answers},
    sys::{
        descriptors::{CONFIG, FIRST, LIFELINE},
        memory_file,
        process::Start,
    },
    template,
};

/// Longest word of a keeper or broker about its failure, in bytes.
const WORDS_MAX: u64 = 8 * 1024;

/// How long a guest may take to its first answer, in seconds: some twenty times what it takes on an idle machine.
const BOOT_LIMIT_S: u64 = 60;
const BOOT_LIMIT_EMULATED_S: u64 = 180;

impl Host {
    /// Starts a sandbox and waits until its guest answers.
    pub(super) fn start_record(&self, record: &Record, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
        let client = Client::new(self.socket(&record.id)?);
        let running = client::block_on(async { Ok(client.status().await) })?;
        if running.is_ok_and(|status| matches!(status.phase, Phase::Starting | Phase::Running)) {
            // Somebody has started it: what is left is to wait.
            return self.await_guest(record, on);
        }
        // What a path leads to may have changed since the sandbox was made.
        self.judge(&record.desired)?;
        self.settle_renewal(record)?;
        let hardware = self.accelerate(record.desired.isolation)?;
        let root = self.root_of(record, on)?;
        on.step("fetching secrets", None, "");
        let (names, mut values): (Vec<_>, Vec<_>) = self.fetch_secrets(record)?.into_iter().unzip();
        if let Some(lifeline) = &self.lifeline {
            values.push(lifeline.share().map_err(|error| {
                Failure::new(
                    Kind::Failed,
                    "start",
                    format!("cannot start the sandbox: its lifeline: {error}"),
                )
            })?);
        }
        let default_limit = if hardware { BOOT_LIMIT_S } else { BOOT_LIMIT_EMULATED_S };
        let config = KeeperConfig {
            version: launch::VERSION,
            id: record.id.clone(),
            places: self.places_config(),
            kernel: match &self.config.kernel {
                KernelChoice::Path(path) => Some(path.clone()),
                KernelChoice::Auto | KernelChoice::Stock => None,
            },
            root,
            throwaway: self.lifeline.is_some(),
            sync_each: self.config.audit_sync == AuditSync::Each,
            jail_full: self.config.jail == JailDemand::Full,
            emulator: find_emulator()?,
            hardware,
            homes: self.homes.clone(),
            resolve: self.config.egress.resolve.clone(),
            upstream_ca: self.upstream_ca()?,
            secrets: names,
            user: self.user.clone(),
            boot_timeout_s: self.config.boot_timeout.map_or(default_limit, |limit| limit.as_secs().max(1)),
        };
        on.step("booting", None, record.name.as_str());
        self.start_launcher(record, &config, values)?;
        self.await_guest(record, on)
    }

    /// A sealed memory file for each secret that has a value; each is fetched by a broker of its own.
    fn fetch_secrets(&self, record: &Record) -> Result<Vec<(String, OwnedFd)>, Failure> {
        let bindings = &record.desired.secrets;
        let answers = self.store.answers(&record.owner).map_err(state_failure)?;
        let mut fetched = BTreeMap::new();
        for binding in bindings {
            match self.fetch_secret(binding, &answers) {
                Ok(value) => {
                    fetched.insert(binding.name.clone(), value);
                }
                Err(_) if !binding.required => {}
                Err(failure) => return Err(failure),
            }
        }
        // In the order of the bindings, which is the order that egress is told.
        Ok(bindings
            .iter()
            .filter_map(|it| fetched.remove(&it.name).map(|value| (it.name.clone(), value)))
            .collect())
    }

    fn fetch_secret(&self, binding: &SecretBinding, answers: &Answers) -> Result<OwnedFd, Failure> {
        let name = &binding.name;
        let source = self.source_of(binding, answers).ok_or_else(|| self.no_source(name))?;
        let config = BrokerConfig { name: name.clone(), home: self.home.clone(), source };
        let value = self.run_broker(&config).map_err(|why| {
            let message = format!("secret `{name}` could not be fetched: {why}");
            Failure::new(Kind::HostLacks, "secret_missing", message)
                .hint(format!("its source stands in {}", self.places.config.display()))
        })?;
        Ok(value)
    }

    /// Where the operator, or the answer at a first run, says that a value is.
    pub(super) fn source_of(&self, binding: &SecretBinding, answers: &Answers) -> Option<SecretSource> {
        let name = &binding.name;
        // What was agreed to at a first run holds for the service as it is built in, and for nothing else of its name.
        let agreed = answers.keys.get(name) == Some(&true);
        let variable = kit::service_variable(binding).filter(|_| agreed);
        let answered = variable.map(|variable| SecretSource::Env { env: variable.to_owned() });
        self.config.secret_sources.get(name).cloned().or(answered)
    }

    /// That nobody says where a value is.
    pub(super) fn no_source(&self, name: &str) -> Failure {
        let hint = format!(
            "say where it is in {}: `secrets: {{sources: {{{name}: {{env: VARIABLE}}}}}}` (or file:, command:)",
            self.places.config.display()
        );
        Failure::new(Kind::HostLacks, "secret_missing", format!("secret `{name}` has no value")).hint(hint)
    }

    fn run_broker(&self, config: &BrokerConfig) -> io::Result<OwnedFd> {
        let value = memory_file::empty("secret")?;
        let config = memory_file::sealed("broker", &serde_json::to_vec(config)?)?;
        let mut start = Start::this_program()
            .argument("__zone")
            .argument("broker")
            .stderr(Stdio::piped())
            .descriptor(config, CONFIG)
            .descriptor(value.try_clone()?, FIRST);
        // A source may be a variable, and password managers find their agents by theirs.
        for (name, variable) in std::env::vars_os() {
            start = start.variable(name, variable);
        }
        let mut broker = start.spawn()?;
        let words = broker.stderr.take().map(words_of).unwrap_or_default();
        if broker.wait()?.success() && memory_file::is_sealed(&value)? {
            return Ok(value);
        }
        Err(io::Error::other(words.strip_prefix("broker: ").unwrap_or(&words).to_owned()))
    }

    /// Starts the launcher, which survives this command, and waits until the keeper answers.
    fn start_launcher(
        &self,
        record: &Record,
        config: &KeeperConfig,
        secrets: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let failed = |what: &'static str| {
            move |error: io::Error| {
                Failure::new(Kind::Failed, "start", format!("cannot start the sandbox: {what}: {error}"))
            }
        };
        let json =
            serde_json::to_vec(config).map_err(io::Error::other).map_err(failed("its configuration"))?;
        let config = memory_file::sealed("keeper", &json).map_err(failed("its configuration"))?;
        let (heard, announce) = io::pipe().map_err(failed("the announcement"))?;
        let log = self.store.sandbox(&record.id).path().join("launcher.log");
        let log = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(log);
        let mut start = Start::this_program()
            .argument("__zone")
            .argument("launcher")
            .stderr(log.map_err(failed("its log"))?)
            .new_session()
            .descriptor(config, CONFIG)
            .descriptor(OwnedFd::from(announce), LIFELINE);
        for (number, secret) in (FIRST..).zip(secrets) {
            start = start.descriptor(secret, number);
        }
        // It is nobody's child once this command has ended; the kernel hands it to init.
        drop(start.spawn().map_err(failed("its launcher"))?);
        let words = words_of(File::from(OwnedFd::from(heard)));
        if words.is_empty() { Ok(()) } else { Err(Failure::new(Kind::Failed, "start", words)) }
    }

    /// Waits until the guest answers and its set-up is done.
    fn await_guest(&self, record: &Record, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
        let client = Client::new(self.socket(&record.id)?);
        let status = match client::block_on(settled(&client, on)) {
            Ok(status) => status,
            // The keeper is gone: what it wrote last says why.
            Err(_) => self.last_status(record),
        };
        if status.phase == Phase::Running {
            return crate::cli::failure::setup(&status).map_or(Ok(status), Err);
        }
        let reason = status.reason.clone().unwrap_or_else(|| format!("it is {}", status.phase));
        let kind = if reason.contains("did not answer within") { Kind::TimedOut } else { Kind::Failed };
        Err(Failure::new(kind, "start", format!("sandbox {} did not start: {reason}", record.name))
            .hint(format!("cofferdam logs {} --console", record.name)))
    }
}

/// Follows a start to its end, step by step.
async fn settled(client: &Client, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
    let mut after = 0;
    loop {
        let status = client.progress(after).await?;
        if status.is_settled() {
            return Ok(status);
        }
        if let Some(setup) = &status.setup {
            after = setup.index;
            let permille = u16::try_from(1000 * (setup.index.max(1) - 1) / setup.total.max(1)).ok();
            on.step("setting up", permille, setup.step.as_deref().unwrap_or_default());
        }
    }
}

/// The emulator, where this user's `PATH` has it; a zone has no `PATH`.
fn find_emulator() -> Result<PathBuf, Failure> {
    template::Host::this().find(qemu::PROGRAM).ok_or_else(|| {
        Failure::new(Kind::HostLacks, "no_emulator", format!("{} is not installed", qemu::PROGRAM))
            .hint("cofferdam doctor --fix")
    })
}

fn words_of(mut stream: impl Read) -> String {
    let mut words = Vec::new();
    // What cannot be read is what was not said.
    let _ = stream.by_ref().take(WORDS_MAX).read_to_end(&mut words);
    String::from_utf8_lossy(&words).trim_end().to_owned()
}
