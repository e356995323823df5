//! The reconciler's [`World`]: this host.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;

use super::{Host, carry::obstacle, machines::state_failure};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Progress, RuleScope},
    },
    model::{
        desired::Sandbox,
        name::SandboxId,
        progress::Unfinished,
        status::{Phase, SandboxStatus},
    },
    plan::{self, Observed, PlanInput},
    reconcile::{Outlook, World},
    store::{Definition, Owner, Record, UpdateError},
};

/// How long a guest may take to go down when its sandbox is started anew.
const RESTART_GRACE: Duration = Duration::from_secs(20);

/// What a pass does to this host.
pub(super) struct Hands<'a> {
    pub(super) host: &'a Host,
    pub(super) owner: &'a Owner,
    /// What each record said when the plan was made; a record that moved is left alone.
    pub(super) generations: BTreeMap<SandboxId, u64>,
    pub(super) on: &'a dyn Progress,
}

/// What there is, as a planner looks at it.
#[derive(Default)]
pub(super) struct Observation {
    pub observed: Vec<Observed>,
    pub sessions: BTreeMap<SandboxId, u32>,
    pub silent: BTreeSet<SandboxId>,
    pub suspended: BTreeSet<SandboxId>,
}

impl Host {
    pub(super) fn observed(&self, owner: &Owner) -> Result<Observation, Failure> {
        let records = self.records_of(owner)?;
        let statuses = self.statuses_of(&records)?;
        let mut seen = Observation::default();
        for (record, status) in records.into_iter().zip(statuses) {
            let open = u32::try_from(status.sessions.len()).unwrap_or(u32::MAX);
            if open > 0 {
                seen.sessions.insert(record.id.clone(), open);
            }
            if status.silent {
                seen.silent.insert(record.id.clone());
            }
            if record.suspended_since.is_some() {
                seen.suspended.insert(record.id.clone());
            }
            seen.observed.push(Observed {
                id: record.id,
                recorded: record.desired,
                generation: record.generation,
                phase: status.phase,
                unfinished: record.unfinished,
                orphaned: record.orphaned_since.is_some(),
                ports: status.ports.iter().map(|port| port.host).collect(),
            });
        }
        Ok(seen)
    }

    /// Makes of an answer what it changes: at once where the sandbox runs, at its next start where it does not. One that
    /// does not exist is not made; one that is suspended keeps its definition, and loses what is no longer approved.
    pub(super) fn follow(
        &self,
        owner: &Owner,
        root: &Path,
        wanted: &Sandbox,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut seen = self.observed(owner)?;
        let existing = seen.observed.iter().find(|it| it.recorded.name == wanted.name);
        let left_alone = existing.filter(|it| seen.suspended.contains(&it.id)).map(|it| it.recorded.clone());
        let is_left_alone = left_alone.is_some();
        let input = PlanInput {
            ground: self.ground(root),
            desired: vec![left_alone.unwrap_or_else(|| wanted.clone())],
            scope: Vec::new(),
            observed: std::mem::take(&mut seen.observed),
            sessions: seen.sessions,
            silent: seen.silent,
            suspended: BTreeSet::new(),
            approvals: plan::Approvals::default(),
            now: false,
            prune: false,
            at: None,
            facts: BTreeMap::new(),
            registries: BTreeMap::new(),
        };
        let known = self.store.approvals(owner).map_err(state_failure)?;
        let typed = known.definitions.get(wanted.name.as_str()).is_some_and(Definition::is_typed);
        // Approvals alone: what was typed and then withdrawn is not typed anew.
        let proposal = self.proposal_of(input, owner.clone(), typed, false, Vec::new())?;
        if !is_left_alone {
            self.remember(&proposal, false)?;
        }
        let (Some(plan), Some(input)) = (&proposal.plan, &proposal.input) else { return Ok(()) };
        let existing = input.observed.iter().find(|it| it.recorded.name == wanted.name);
        let Some(existing) = existing.filter(|it| !it.orphaned) else { return Ok(()) };
        if matches!(existing.phase, Phase::Starting | Phase::Running) {
            return self.pass(plan, owner, 0, on)?.told();
        }
        let step = plan.steps.iter().find(|step| step.id.as_ref() == Some(&existing.id));
        let Some((step, wanted)) = step.and_then(|step| Some((step, step.wanted.as_deref()?))) else {
            return Ok(());
        };
        let left = (step.action == plan::Action::Replace).then_some(Unfinished::Renew);
        let written = self.store.update_until(&existing.id, existing.generation, wanted.clone(), left);
        written.map(drop).map_err(update_failure)
    }

    /// Starts a sandbox, and before that does what an interrupted pass has left.
    pub(super) fn start_unfinished(
        &self,
        record: &Record,
        on: &dyn Progress,
    ) -> Result<SandboxStatus, Failure> {
        let started = self.start_rest(record, on);
        self.obstruct(record, started.as_ref().err().and_then(obstacle))?;
        started
    }

    fn start_rest(&self, record: &Record, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
        match record.unfinished {
            Some(Unfinished::Disks) => self.make_disks(record)?,
            Some(Unfinished::Renew) => self.renew_system(record, on)?,
            _ => {}
        }
        let left = |left| self.store.reach(&record.id, record.generation, left).map_err(update_failure);
        if record.unfinished.is_some() {
            left(Some(Unfinished::Start))?;
        }
        let started = self.start_record(record, on);
        // Where its set-up failed it is up, too.
        if started.as_ref().err().is_none_or(|failure| failure.code() == "setup_failed") {
            left(None)?;
        }
        started
    }
}

impl World for Hands<'_> {
    type Failure = Failure;

    fn observe(&mut self) -> Result<Vec<Observed>, Failure> {
        self.host.observed(self.owner).map(|seen| seen.observed)
    }

    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Failure> {
        let record = self.host.create_record(wanted, self.owner, self.on)?;
        self.generations.insert(record.id.clone(), record.generation);
        Ok(record.id)
    }

    fn furnish(&mut self, id: &SandboxId) -> Result<(), Failure> {
        self.host.make_disks(&self.load(id)?)
    }

    fn record(&mut self, id: &SandboxId, wanted: &Sandbox, until: Unfinished) -> Result<(), Failure> {
        self.host.judge(wanted)?;
        let record = self.load(id)?;
        if until == Unfinished::Renew {
            // Built while the machine still runs: a template that fails costs nobody a sandbox.
            self.host.ensure_stack(wanted, Some(&record), self.on)?;
        }
        let written = self.host.store.update_until(id, self.generation(id)?, wanted.clone(), Some(until));
        let written = written.map_err(update_failure)?;
        self.generations.insert(id.clone(), written.generation);
        Ok(())
    }

    fn reach(&mut self, id: &SandboxId, left: Option<Unfinished>) -> Result<(), Failure> {
        self.host.store.reach(id, self.generation(id)?, left).map(drop).map_err(update_failure)
    }

    fn enforce(&mut self, id: &SandboxId) -> Result<(), Failure> {
        let found = self.host.found(&self.load(id)?)?;
        self.host.enforce(&RuleScope::Sandbox(Box::new(found)), Some(id))?;
        self.host.open_ports(&self.load(id)?).map(drop)
    }

    fn renew(&mut self, id: &SandboxId) -> Result<(), Failure> {
        self.host.renew_system(&self.load(id)?, self.on)
    }

    fn start(&mut self, id: &SandboxId) -> Result<(), Failure> {
        let started = self.host.start_record(&self.load(id)?, self.on);
        if started.as_ref().is_err_and(|failure| failure.code() == "setup_failed") {
            // It is up: nothing of the start is left to do.
            self.reach(id, None)?;
        }
        started.map(drop)
    }

    fn stop(&mut self, id: &SandboxId) -> Result<(), Failure> {
        let record = self.load(id)?;
        let status = self.host.stop_record(&record, RESTART_GRACE)?;
        match status.phase {
            Phase::Stopped | Phase::Failed => Ok(()),
            phase => Err(Failure::new(Kind::Failed, "stop", format!("sandbox {} is {phase}", record.name))),
        }
    }

    fn orphan(&mut self, id: &SandboxId) -> Result<(), Failure> {
        let now = Timestamp::now().to_string();
        self.host.store.orphan(id, self.generation(id)?, &now).map(drop).map_err(update_failure)
    }

    fn remove(&mut self, id: &SandboxId) -> Result<(), Failure> {
        self.host.remove_record(&self.load(id)?)
    }

    fn outlook(&self, failure: &Failure) -> Outlook {
        match (failure.kind(), failure.code()) {
            // The same step would say the same again.
            (_, "setup_failed" | "template_failed" | "sandbox_exists") => Outlook::Person,
            (Kind::Failed | Kind::TimedOut, _) => Outlook::Retry,
            _ => Outlook::Person,
        }
    }

    fn words(&self, failure: &Failure) -> String {
        failure.object().message.clone()
    }
}

fn update_failure(error: UpdateError) -> Failure {
    match error {
        UpdateError::Stale { .. } => Failure::new(Kind::Failed, "stale", error.to_string()),
        UpdateError::Store(error) => state_failure(error),
    }
}

impl Hands<'_> {
    fn load(&self, id: &SandboxId) -> Result<Record, Failure> {
        self.host.store.load(id).map_err(state_failure)
    }

    /// What this pass planned with, or wrote: whoever wrote since has work of their own to note.
    fn generation(&self, id: &SandboxId) -> Result<u64, Failure> {
        self.generations.get(id).copied().map_or_else(|| Ok(self.load(id)?.generation), Ok)
    }
}
