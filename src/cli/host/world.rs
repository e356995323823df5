//! The reconciler's [`World`]: this host.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Host, machines::state_failure};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Progress, Proposal, RuleScope, Wish},
    },
    model::{
        desired::Sandbox,
        name::{Name, SandboxId},
        progress::Unfinished,
        status::{Phase, SandboxStatus},
    },
    plan::{self, Observed, Plan, PlanInput, Planned},
    reconcile::{self, Fate, Outcome, Outlook, World},
    store::{Definition, Owner, Record, UpdateError},
};

/// How long a guest may take to go down when its sandbox is started anew.
const RESTART_GRACE: Duration = Duration::from_secs(20);

/// What a step failed with.
fn failure(outcome: Outcome<Failure>) -> Option<Failure> {
    match outcome.fate {
        Fate::Done => None,
        Fate::Failed(failure) => Some(failure),
        Fate::Held { claim, by } => {
            let message = format!("{}: {claim} is still held by {by}, which did not stop", outcome.step.name);
            Some(Failure::new(Kind::Failed, "held", message).hint("apply again"))
        }
    }
}

struct Hands<'a> {
    host: &'a Host,
    owner: &'a Owner,
    /// What each record said when the plan was made; a record that moved is left alone.
    generations: BTreeMap<SandboxId, u64>,
    /// From here on nothing new is begun.
    deadline: Option<Instant>,
    on: &'a dyn Progress,
}

impl Host {
    pub(super) fn observed(&self, owner: &Owner) -> Result<Vec<Observed>, Failure> {
        let observe = |record: Record| {
            let status = self.status_of(&record)?;
            Ok(Observed {
                id: record.id,
                recorded: record.desired,
                generation: record.generation,
                phase: status.phase,
                unfinished: record.unfinished,
                orphaned: record.orphaned_since.is_some(),
                ports: status.ports.iter().map(|port| port.host).collect(),
            })
        };
        self.records_of(owner)?.into_iter().map(observe).collect()
    }

    /// Carries a proposal out as it was shown. Each sandbox is tried, whatever became of the others.
    pub(super) fn carry_out(
        &self,
        proposal: &Proposal,
        wish: &Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        let Some(owner) = &proposal.owner else { return Ok(Vec::new()) };
        let Some(plan) = &proposal.plan else { return self.delete(proposal, owner) };
        self.remember(proposal, proposal.typed)?;
        let deadline = wish.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.pass(plan, owner, deadline, on)?;
        let own = self.records_of(owner)?;
        let concerned = own.iter().filter(|record| plan.steps.iter().any(|step| step.name == record.name));
        concerned.map(|record| self.status_of(record)).collect()
    }

    /// One pass over a plan.
    fn pass(
        &self,
        plan: &Plan,
        owner: &Owner,
        deadline: Option<Instant>,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        let observed = self.observed(owner)?;
        refuse_stale(plan, &observed)?;
        let generations = observed.iter().map(|it| (it.id.clone(), it.generation)).collect();
        let mut hands = Hands { host: self, owner, generations, deadline, on };
        let (wanted, steps) = (plan.wanted(), plan.executable());
        let report = reconcile::execute(&mut hands, &wanted, &observed, steps, 0, |step| {
            on.step("applying", None, step.name.as_str());
        });
        let failures = report.outcomes.into_iter().filter_map(failure).collect();
        Failure::several(failures).map_or(Ok(()), Err)
    }

    /// Makes of an answer what it changes: at once where the sandbox runs, at its next start where it does not. One that
    /// does not exist is not made.
    pub(super) fn follow(
        &self,
        owner: &Owner,
        root: &Path,
        wanted: &Sandbox,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        let input = PlanInput {
            ground: self.ground(root),
            desired: vec![wanted.clone()],
            scope: Vec::new(),
            observed: self.observed(owner)?,
            sessions: BTreeMap::new(),
            suspended: BTreeSet::new(),
            approvals: plan::Approvals::default(),
            now: false,
            prune: false,
        };
        let known = self.store.approvals(owner).map_err(state_failure)?;
        let typed = known.definitions.get(wanted.name.as_str()).is_some_and(Definition::is_typed);
        // Approvals alone: what was typed and then withdrawn is not typed anew.
        let proposal = self.proposal_of(input, owner.clone(), typed, false, Vec::new())?;
        self.remember(&proposal, false)?;
        let (Some(plan), Some(input)) = (&proposal.plan, &proposal.input) else { return Ok(()) };
        let existing = input.observed.iter().find(|it| it.recorded.name == wanted.name);
        let Some(existing) = existing.filter(|it| !it.orphaned) else { return Ok(()) };
        if matches!(existing.phase, Phase::Starting | Phase::Running) {
            return self.pass(plan, owner, None, on);
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
        match record.unfinished {
            Some(Unfinished::Disks) => self.make_disks(record)?,
            Some(Unfinished::Renew) => self.renew_system(record, on)?,
            _ => {}
        }
        let left = |left| self.store.reach(&record.id, record.generation, left).map_err(update_failure);
        if record.unfinished.is_some() {
            left(Some(Unfinished::Start))?;
        }
        let status = self.start_record(record, on)?;
        left(None)?;
        Ok(status)
    }

    fn delete(&self, proposal: &Proposal, owner: &Owner) -> Result<Vec<SandboxStatus>, Failure> {
        for record in self.records_of(owner)? {
            if proposal.desired.iter().any(|sandbox| sandbox.name == record.name) {
                self.stop_record(&record, RESTART_GRACE)?;
                self.remove_record(&record)?;
            }
        }
        Ok(Vec::new())
    }
}

/// Refuses a plan under which the world has moved since it was made.
fn refuse_stale(plan: &Plan, observed: &[Observed]) -> Result<(), Failure> {
    let moved = |step: &&Planned| match (&step.id, step.generation) {
        (Some(id), Some(generation)) => observed.iter().all(|it| it.id != *id || it.generation != generation),
        _ => observed.iter().any(|it| it.recorded.name == step.name),
    };
    let executed = plan.steps.iter().filter(|step| step.action != plan::Action::Nothing);
    let Some(step) = executed.into_iter().find(moved) else { return Ok(()) };
    let message = format!("sandbox {} was changed since this was planned; nothing was done", step.name);
    Err(Failure::new(Kind::Failed, "stale", message).hint("plan again, and look at it again"))
}

impl World for Hands<'_> {
    type Failure = Failure;

    fn observe(&mut self) -> Result<Vec<Observed>, Failure> {
        self.host.observed(self.owner)
    }

    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Failure> {
        self.in_time(&wanted.name)?;
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
        let planned = self.generations.get(id).copied().unwrap_or(record.generation);
        let written = self.host.store.update_until(id, planned, wanted.clone(), Some(until));
        let written = written.map_err(update_failure)?;
        self.generations.insert(id.clone(), written.generation);
        Ok(())
    }

    fn reach(&mut self, id: &SandboxId, left: Option<Unfinished>) -> Result<(), Failure> {
        let generation = self.load(id)?.generation;
        self.host.store.reach(id, generation, left).map(drop).map_err(update_failure)
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
        let record = self.load(id)?;
        self.in_time(&record.name)?;
        self.host.start_record(&record, self.on).map(drop)
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
        let (generation, now) = (self.load(id)?.generation, Timestamp::now().to_string());
        self.host.store.orphan(id, generation, &now).map(drop).map_err(update_failure)
    }

    fn remove(&mut self, id: &SandboxId) -> Result<(), Failure> {
        self.host.remove_record(&self.load(id)?)
    }

    fn outlook(&self, failure: &Failure) -> Outlook {
        match failure.kind() {
            Kind::Failed | Kind::TimedOut => Outlook::Retry,
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
    /// Refuses to begin what adds when the time is up.
    fn in_time(&self, name: &Name) -> Result<(), Failure> {
        if self.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return Ok(());
        }
        Err(Failure::new(Kind::TimedOut, "timeout", format!("{name} was not begun: the time is up"))
            .hint("apply again: it goes on from there"))
    }

    fn load(&self, id: &SandboxId) -> Result<Record, Failure> {
        self.host.store.load(id).map_err(state_failure)
    }
}
