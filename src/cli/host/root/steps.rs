//! A template's build steps: each in a machine of its own, which is made for it and thrown away.
//!
//! The machine is an ordinary sandbox with its own keeper, egress and jail, under the rules of the sandbox that is to
//! stand on the template. It lives in a state directory of its own on the cache's bench, so nothing of it is among the
//! user's sandboxes; it has no secret, no folder of the host, no port and no data disk, and ends with this command. Its
//! audit trail is kept with those of removed sandboxes.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, json};

use super::{
    Host, Lifeline, Rules, cache_failure,
    execute::{STEP_LIMIT, execute, local},
    follow, log, machines_of, show, state_failure,
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::Progress,
        session::Ended,
    },
    model::{
        config::OperatorConfig,
        desired::{BuildStep, Sandbox, Setup, Start},
        event::{Decision, Draft},
        name::{NAME_MAX, Name},
        status::Phase,
        template::{ImageId, Stack},
    },
    store::{NewSandbox, Places, Record, Scope, Store},
    template::{self, Bench, Cache, Layer, layer::Planned},
};

/// Size of the disk that takes what a step changes, in bytes. Sparse: it costs what is written.
const DISK: u64 = 20 << 30;
/// How long the machine has to make its disk clean.
const GRACE: Duration = Duration::from_secs(60);
/// Lines of the console that tell why a machine did not come up, in bytes from its end.
const CONSOLE_END: usize = 1000;
/// What the name of a build's machine ends with.
const SUFFIX: &str = "-template";

/// One build: the machines of it have this in common.
struct Build<'a> {
    host: &'a Host,
    /// As `host`, with a state directory of its own.
    machines: Host,
    bench: Bench,
    wanted: &'a Sandbox,
    /// The sandbox, where there is one.
    standing: Option<&'a Record>,
    /// Identity of the rules that the layers are built for.
    rules: &'a str,
    total: usize,
    on: &'a dyn Progress,
}

impl Host {
    /// Builds those of the planned layers that are missing, lowest first.
    pub(super) fn build_layers(
        &self,
        cache: &Cache,
        (wanted, standing): (&Sandbox, Option<&Record>),
        image: &ImageId,
        (planned, rules): (&[Planned], &Rules),
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        let report = |report: template::Report<'_>| show(on, report);
        let bench = cache.bench(&report, &clear).map_err(|error| cache_failure(&error))?;
        let machines = self.for_machines(&bench)?;
        let total = wanted.template.steps.len();
        let rules = &rules.key;
        let build = Build { host: self, machines, bench, wanted, standing, rules, total, on };
        let mut below = Stack { image: image.clone(), layers: Vec::new() };
        for layer in planned {
            // The command that held the lock before may have built it.
            if Layer::find(cache, &layer.key).is_none() {
                build.layer(layer, &below)?;
            }
            below.layers.push(layer.key.clone());
        }
        Ok(())
    }

    /// This host as the machines of a build see it: nothing of the user's state, and no source of a secret.
    fn for_machines(&self, bench: &Bench) -> Result<Self, Failure> {
        let places = Places { state: machines_of(bench.folder()), ..self.places.clone() };
        Ok(Self {
            store: Store::open(&places.state).map_err(state_failure)?,
            places,
            config: OperatorConfig { secret_sources: BTreeMap::new(), ..self.config.clone() },
            here: self.here.clone(),
            folder: self.folder.clone(),
            home: self.home.clone(),
            homes: self.homes.clone(),
            user: self.user.clone(),
            standing: self.standing.clone(),
            keys: Default::default(),
            kvm: self.kvm.clone(),
            lifeline: Some(Lifeline::new().map_err(|error| local(&error))?),
            fetched: Default::default(),
            told: Default::default(),
            has_tools: self.has_tools,
            locked: self.locked.clone(),
            warned: self.warned.clone(),
        })
    }
}

impl Build<'_> {
    /// One layer. Whatever happens, its machine is gone afterwards.
    fn layer(&self, planned: &Planned, below: &Stack) -> Result<(), Failure> {
        let record = self.make_machine(below)?;
        let dir = self.machines.store.sandbox(&record.id);
        let outcome = self.run(&record, planned).map_err(|failure| log::with_blocked(failure, &dir.audit()));
        let cleared = self.clear(&record);
        let same = |()| self.host.refuse_other_rules(self.wanted, self.standing, self.rules).map(drop);
        let disk = outcome.and(cleared).and_then(same).map(|()| dir.system_disk());
        let disk = disk.map_err(|failure| at(planned.steps.first(), failure));
        self.note(planned, &record, disk.as_ref().err())?;
        self.bench.keep(&disk?, planned).map_err(|error| cache_failure(&error))?;
        self.machines.store.remove(&record.id).map_err(|error| {
            Failure::new(Kind::Failed, "template", "cannot remove the machine of a build").caused_by(&error)
        })
    }

    fn make_machine(&self, below: &Stack) -> Result<Record, Failure> {
        let store = &self.machines.store;
        let new = NewSandbox {
            name: machine_name(&self.wanted.name),
            owner: self.machines.here.clone(),
            created_at: Timestamp::now().to_string(),
            desired: machine(self.wanted),
        };
        let record =
            store.create(new).map_err(|error| Failure::new(Kind::Failed, "template", error.to_string()))?;
        // Read once the machine has its record: a rule that is changed from here on finds it.
        let rules = self.host.refuse_other_rules(self.wanted, self.standing, self.rules)?;
        let scopes = [Scope::User, Scope::Owner(&record.owner), Scope::Sandbox(&record.id)];
        for (scope, rules) in scopes.into_iter().zip(&rules.added) {
            follow::copy(store, scope, rules).map_err(state_failure)?;
        }
        let dir = store.sandbox(&record.id);
        dir.write_stack(below).map_err(state_failure)?;
        template::create_disk(&template::Host::this(), &dir.system_disk(), DISK, "system").map_err(
            |error| Failure::new(Kind::Failed, "disk", "cannot make the disk of a build").caused_by(&error),
        )?;
        Ok(record)
    }

    /// Boots, runs the steps, and takes the machine down in order: only then is its disk worth keeping.
    fn run(&self, record: &Record, planned: &Planned) -> Result<(), Failure> {
        let first = planned.steps.first();
        self.machines
            .start_record(record, self.on)
            .map_err(|failure| self.not_up(record, first, &failure))?;
        for (number, step) in (planned.first..).zip(&planned.steps) {
            self.step(record, number, step)?;
        }
        self.on.step("template", None, "closing its disk");
        let status = self.machines.stop_record(record, GRACE)?;
        if status.phase == Phase::Stopped {
            return Ok(());
        }
        let why = status.reason.unwrap_or_default();
        Err(at(
            first,
            Failure::new(
                Kind::Failed,
                "template_failed",
                format!("the machine of a step did not end in order: {why}"),
            ),
        ))
    }

    fn step(&self, record: &Record, number: usize, step: &BuildStep) -> Result<(), Failure> {
        let title = format!("template step {number} of {}", self.total);
        self.on.step(&title, Some(0), step.run.lines().next().unwrap_or_default());
        let socket = self.machines.socket(&record.id)?;
        let (ended, log) = execute(socket, &step.run, |line| self.on.step(&title, None, line))?;
        let log = if log.is_empty() {
            "; it said nothing".to_owned()
        } else {
            format!("; the end of its log:{log}")
        };
        let (kind, how) = match ended {
            Ok(Ended::Command(0)) => return Ok(()),
            Ok(Ended::Command(code) | Ended::Left(code)) => {
                (Kind::Failed, format!("failed with exit code {code}{log}"))
            }
            Ok(Ended::TimedOut) => {
                (Kind::TimedOut, format!("did not end within {} minutes{log}", STEP_LIMIT.as_secs() / 60))
            }
            Err(error) => (Kind::Failed, format!("was cut short: {error}{log}")),
        };
        let message = format!("step {number} of the template {how}");
        Err(at(Some(step), Failure::new(kind, "template_failed", message))
            .hint("nothing of it was kept; mend the step and run the command again"))
    }

    /// A machine that does not come up leaves nothing to look at, so its last words come along.
    fn not_up(&self, record: &Record, step: Option<&BuildStep>, failure: &Failure) -> Failure {
        let console = fs::read(self.machines.store.sandbox(&record.id).console_log()).unwrap_or_default();
        let end = String::from_utf8_lossy(&console[console.len().saturating_sub(CONSOLE_END)..]).into_owned();
        let message = format!("the machine of a template's step did not start: {}", failure.object().message);
        let message =
            if end.trim().is_empty() { message } else { format!("{message}; its console ends:\n{end}") };
        at(step, Failure::new(failure.kind(), "template_failed", message))
    }

    /// Ends the machine, if it still runs, and keeps its trail.
    fn clear(&self, record: &Record) -> Result<(), Failure> {
        self.machines.stop_record(record, Duration::ZERO)?;
        let dir = self.machines.store.sandbox(&record.id);
        dir.remove_sockets().map_err(state_failure)?;
        self.host.store.adopt_trail(&dir.audit(), &record.name, &record.id).map_err(state_failure)
    }

    fn note(&self, planned: &Planned, record: &Record, failure: Option<&Failure>) -> Result<(), Failure> {
        let draft = Draft {
            time: Timestamp::now().to_string(),
            action: "template.build".to_owned(),
            resource: planned.key.clone(),
            decision: Decision::Allow,
            rule: None,
            reason: if failure.is_some() { "failed" } else { "built" }.to_owned(),
            detail: Map::from_iter([
                ("steps".to_owned(), json!(planned.steps.iter().map(|step| &step.run).collect::<Vec<_>>())),
                ("below".to_owned(), json!(planned.below)),
                ("machine".to_owned(), json!(record.id)),
            ]),
        };
        self.host.note(draft, Some(self.wanted))
    }
}

/// What a build's machine shall be: the sandbox without everything that is the user's or the host's.
pub(super) fn machine(wanted: &Sandbox) -> Sandbox {
    Sandbox {
        name: machine_name(&wanted.name),
        start: Start::OnDemand,
        workspace: None,
        mounts: Vec::new(),
        working_dir: None,
        env: BTreeMap::new(),
        files: Vec::new(),
        setup: Setup::default(),
        secrets: Vec::new(),
        ports: Vec::new(),
        ..wanted.clone()
    }
}

pub(super) fn machine_name(name: &Name) -> Name {
    let name = name.as_str();
    let short = &name[..name.len().min(NAME_MAX - SUFFIX.len())];
    format!("{short}{SUFFIX}").parse().expect("the beginning of a name and an end in its alphabet are a name")
}

/// Waits for the machines of a killed command, which end with it, and removes what they would leave.
fn clear(bench: &Path) {
    let Ok(store) = Store::open(&machines_of(bench)) else { return };
    for record in store.list().map(|listing| listing.records).unwrap_or_default() {
        let dir = store.sandbox(&record.id);
        // What cannot be waited for or removed is no obstacle to a new build.
        let _ = dir.await_end();
        let _ = dir.remove_sockets();
    }
}

fn at(step: Option<&BuildStep>, failure: Failure) -> Failure {
    match step.and_then(|step| Some((step.origin.file.as_ref()?, step.origin.line))) {
        Some((file, line)) => failure.at(file, line, None),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        desired::Port,
        rule::{Layer as RuleLayer, Origin},
    };

    #[test]
    fn a_builds_machine_has_nothing_of_the_user() {
        let origin = Origin { layer: RuleLayer::Repository, file: None, line: None };
        let mut wanted = Sandbox::smallest("dev");
        wanted.env.insert("TOKEN".into(), "x".into());
        wanted.ports.push(Port { guest: 1, host: None, fixed: false, origin: origin.clone() });
        wanted.secrets.push(
            serde_json::from_value(json!({
                "name": "tickets", "env": "TICKETS", "required": true, "placeholder": "x", "inject": [],
                "why": "", "origin": origin,
            }))
            .expect("a secret"),
        );
        let made = machine(&wanted);
        assert!(made.env.is_empty() && made.ports.is_empty() && made.secrets.is_empty());
        assert!(made.workspace.is_none() && made.mounts.is_empty() && made.files.is_empty());
        assert_eq!((made.network, made.name.as_str()), (wanted.network, "dev-template"));
        let long: Name = "x".repeat(NAME_MAX).parse().expect("a name");
        assert_eq!(machine_name(&long).as_str().len(), NAME_MAX);
    }
}
