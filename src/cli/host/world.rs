//! The reconciler's [`World`]: this host.

use std::time::Duration;

use jiff::Timestamp;

use super::Host;
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Action, Progress, Proposal, RuleScope},
    },
    model::{
        desired::Sandbox,
        name::SandboxId,
        progress::Unfinished,
        status::{Phase, SandboxStatus},
    },
    plan::{self, Observed},
    reconcile::{self, Fate, Outcome, Outlook, World},
    store::{Record, UpdateError},
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
    on: &'a dyn Progress,
}

impl Host {
    pub(super) fn observed(&self) -> Result<Vec<Observed>, Failure> {
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
        self.own_records()?.into_iter().map(observe).collect()
    }

    /// Carries a proposal out as it was shown. Each sandbox is tried, whatever became of the one before.
    pub(super) fn carry_out(
        &self,
        proposal: &Proposal,
        _wait: bool,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        if proposal.changes.iter().any(|change| change.action == Action::Delete) {
            return self.delete(proposal);
        }
        let mut hands = Hands { host: self, on };
        let observed = hands.observe()?;
        let steps = plan::plan(&proposal.desired, &observed)
            .map_err(|error| Failure::new(Kind::Usage, "create_only", error.to_string()))?;
        let report = reconcile::execute(&mut hands, &proposal.desired, &observed, steps, 0, |step| {
            on.step("applying", None, step.name.as_str());
        });
        let failures = report.outcomes.into_iter().filter_map(failure).collect();
        if let Some(failure) = Failure::several(failures) {
            return Err(failure);
        }
        let own = self.own_records()?;
        let concerned = own.iter().filter(|record| proposal.desired.iter().any(|it| it.name == record.name));
        concerned.map(|record| self.status_of(record)).collect()
    }

    /// Starts a sandbox, and before that does what an interrupted pass has left.
    pub(super) fn start_unfinished(
        &self,
        record: &Record,
        on: &dyn Progress,
    ) -> Result<SandboxStatus, Failure> {
        match record.unfinished {
            Some(Unfinished::Disks) => self.make_disks(record)?,
            Some(Unfinished::Renew) => self.renew_disk(record)?,
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

    fn delete(&self, proposal: &Proposal) -> Result<Vec<SandboxStatus>, Failure> {
        for record in self.own_records()? {
            if proposal.desired.iter().any(|sandbox| sandbox.name == record.name) {
                self.stop_record(&record, RESTART_GRACE)?;
                self.remove_record(&record)?;
            }
        }
        Ok(Vec::new())
    }
}

impl World for Hands<'_> {
    type Failure = Failure;

    fn observe(&mut self) -> Result<Vec<Observed>, Failure> {
        self.host.observed()
    }

    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Failure> {
        Ok(self.host.create_record(wanted, self.on)?.id)
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
        let written = self.host.store.update_until(id, record.generation, wanted.clone(), Some(until));
        written.map(drop).map_err(update_failure)
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
        self.host.renew_disk(&self.load(id)?)
    }

    fn start(&mut self, id: &SandboxId) -> Result<(), Failure> {
        self.host.start_record(&self.load(id)?, self.on).map(drop)
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
        UpdateError::Store(error) => super::machines::state_failure(error),
    }
}

impl Hands<'_> {
    fn load(&self, id: &SandboxId) -> Result<Record, Failure> {
        self.host.store.load(id).map_err(super::machines::state_failure)
    }
}
