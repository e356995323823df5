//! The reconciler's [`World`]: this host.

use std::time::Duration;

use super::Host;
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Action, Progress, Proposal, RuleScope},
    },
    model::{
        desired::Sandbox,
        name::SandboxId,
        status::{Phase, SandboxStatus},
    },
    plan::Observed,
    reconcile::{self, World},
    store::{Record, UpdateError},
};

/// How long a guest may take to go down when its sandbox is started anew.
const RESTART_GRACE: Duration = Duration::from_secs(20);

struct Hands<'a> {
    host: &'a Host,
    on: &'a dyn Progress,
}

impl Host {
    pub(super) fn observed(&self) -> Result<Vec<Observed>, Failure> {
        let observe = |record: Record| {
            let phase = self.status_of(&record)?.phase;
            Ok(Observed { id: record.id, recorded: record.desired, phase })
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
        let steps = reconcile::plan(&mut hands, &proposal.desired)?
            .map_err(|error| Failure::new(Kind::Usage, "create_only", error.to_string()))?;
        let outcomes = reconcile::execute(&mut hands, &proposal.desired, steps, |step| {
            on.step("applying", None, step.name.as_str());
        });
        let failures: Vec<Failure> =
            outcomes.into_iter().filter_map(|outcome| outcome.result.err()).collect();
        if let Some(failure) = Failure::several(failures) {
            return Err(failure);
        }
        let own = self.own_records()?;
        let concerned = own.iter().filter(|record| proposal.desired.iter().any(|it| it.name == record.name));
        concerned.map(|record| self.status_of(record)).collect()
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

    fn update(&mut self, id: &SandboxId, wanted: &Sandbox) -> Result<(), Failure> {
        self.host.judge(wanted)?;
        let record = self.load(id)?;
        self.host.store.update(id, record.generation, wanted.clone()).map_err(|error| match error {
            UpdateError::Stale { .. } => Failure::new(Kind::Failed, "stale", error.to_string()),
            UpdateError::Store(error) => super::machines::state_failure(error),
        })?;
        Ok(())
    }

    fn enforce(&mut self, id: &SandboxId) -> Result<(), Failure> {
        let found = self.host.found(&self.load(id)?)?;
        self.host.enforce(&RuleScope::Sandbox(Box::new(found)), Some(id))?;
        self.host.open_ports(&self.load(id)?).map(drop)
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
}

impl Hands<'_> {
    fn load(&self, id: &SandboxId) -> Result<Record, Failure> {
        self.host.store.load(id).map_err(super::machines::state_failure)
    }
}
