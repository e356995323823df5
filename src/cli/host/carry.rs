//! Carrying a proposal out: passes over its plan, until nothing is left that can be done now.
//!
//! ```text
//! plan ─▶ pass ─▶ what kept each sandbox is noted ─┬─▶ done, or it takes a person
//!  ▲                                              ├─▶ it may work the next time (--wait): after a while, again
//!  └──────────── planned anew ◀───────────────────┴─▶ sessions are open (--when-idle): when they end, again
//! ```
//!
//! What bounds all of it in time is the command's own watchdog ([`crate::cli::watchdog`]): killed anywhere, the next
//! pass goes on.

use std::time::Duration;

use super::{
    Host,
    machines::state_failure,
    world::{Hands, Observation},
};
use crate::{
    cli::{
        client::{self, Client, ClientError},
        failure::{self, Failure, Kind},
        ops::{Progress, Proposal, Wish},
        output,
    },
    model::{
        name::{Name, SandboxId},
        progress::{Obstacle, Obstructed},
        status::{Phase, SandboxStatus},
    },
    plan::{self, Observed, Plan, PlanInput, Planned},
    reconcile::{self, Fate, Outcome, Verdict},
    store::{Owner, Record, StoreError},
};

/// How long a guest may take to go down when its sandbox is removed by its file.
const DELETE_GRACE: Duration = Duration::from_secs(20);
/// Passes that `apply --wait` makes where no time limit ends it.
const TRIES: u32 = 3;
/// Longest sentence that is kept of a failure, in characters.
const SENTENCE_MAX: usize = 500;

/// What a pass over a plan came to.
pub(super) struct Pass {
    failures: Vec<Failure>,
    verdict: Verdict,
    /// What waits until nobody works in these, with the words for it.
    busy: Vec<(SandboxId, String)>,
}

impl Pass {
    /// The failures as one; what waits for sessions is said.
    pub(super) fn told(self) -> Result<(), Failure> {
        for (_, words) in &self.busy {
            output::warn(words);
        }
        Failure::several(self.failures).map_or(Ok(()), Err)
    }
}

impl Host {
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
        self.forget_undefined(owner, &proposal.desired)?;
        let mut plan = plan.clone();
        let mut attempt = 0;
        let failures = loop {
            let pass = self.pass(&plan, owner, attempt, on)?;
            let tries = if wish.timeout.is_some() { u32::MAX } else { TRIES };
            match pass.verdict {
                Verdict::Retry { after } if wish.wait && attempt + 1 < tries => {
                    attempt += 1;
                    self.pause(after, &pass.failures)?;
                }
                _ if wish.when_idle && !pass.busy.is_empty() => {
                    attempt = 0;
                    self.await_idle(&pass.busy, on)?;
                }
                _ => break pass.failures,
            }
            plan = self.planned_again(proposal, owner)?;
        };
        Failure::several(failures).map_or(Ok(()), Err)?;
        let own = self.records_of(owner)?;
        let planned = |record: &&Record| plan.steps.iter().find(|step| step.name == record.name);
        let concerned: Vec<Record> = own.iter().filter(|it| planned(it).is_some()).cloned().collect();
        let statuses = self.statuses_of(&concerned)?;
        // A pass that was killed may have left one that still starts.
        let settled: Vec<&str> = statuses.iter().filter(|it| it.is_settled()).map(|it| &*it.id).collect();
        let awaited = |record: &&Record| wish.wait || !settled.contains(&record.id.as_str());
        let kept = concerned.iter().filter(|record| planned(record).is_some_and(|step| !step.is_suspended()));
        let unready = kept.filter(awaited).filter_map(|record| self.await_ready(record).err()).collect();
        Failure::several(unready).map_or(Ok(()), Err)?;
        self.statuses_of(&concerned)
    }

    /// One pass over a plan. What kept each sandbox from what its file says is noted in its record.
    pub(super) fn pass(
        &self,
        plan: &Plan,
        owner: &Owner,
        attempt: u32,
        on: &dyn Progress,
    ) -> Result<Pass, Failure> {
        let Observation { observed, .. } = self.observed(owner)?;
        refuse_stale(plan, &observed)?;
        let generations = observed.iter().map(|it| (it.id.clone(), it.generation)).collect();
        let mut hands = Hands { host: self, owner, generations, on };
        let (wanted, steps) = (plan.wanted(), plan.executable());
        let report = reconcile::execute(&mut hands, &wanted, &observed, steps, attempt, |step| {
            on.step("applying", None, step.name.as_str());
        });
        let failed: Vec<_> = report.outcomes.into_iter().filter_map(failure).collect();
        let records = self.records_of(owner)?;
        let mut busy = Vec::new();
        for step in plan.steps.iter().filter(|step| !step.is_suspended()) {
            let failure = failed.iter().find(|(name, _)| *name == step.name).map(|(_, failure)| failure);
            let Some(record) = records.iter().find(|record| record.name == step.name) else {
                self.note_unmade(owner, &step.name, failure.and_then(obstacle))?;
                continue;
            };
            let waits = step.waits_for_sessions().and_then(|reason| step.words(reason));
            if let Some(words) = &waits {
                busy.push((record.id.clone(), format!("{}: {words}", step.name)));
            }
            let waits = waits.map(|message| Obstructed { by: Obstacle::Busy, message });
            self.obstruct(record, failure.map_or(waits, obstacle))?;
        }
        let failures = failed.into_iter().map(|(_, failure)| failure).collect();
        Ok(Pass { failures, verdict: report.verdict, busy })
    }

    /// Notes what keeps a sandbox from what its file says, where that is news.
    pub(super) fn obstruct(&self, record: &Record, by: Option<Obstructed>) -> Result<(), Failure> {
        if record.obstructed == by {
            return Ok(());
        }
        match self.store.obstruct(&record.id, by) {
            // It was removed.
            Ok(_) | Err(StoreError::Gone(_)) => Ok(()),
            Err(error) => Err(state_failure(error)),
        }
    }

    /// The same documents, compared with what there is now.
    fn planned_again(&self, proposal: &Proposal, owner: &Owner) -> Result<Plan, Failure> {
        let lost = || Failure::new(Kind::Failed, "no_plan", "these documents need no plan");
        let input = proposal.input.clone().ok_or_else(lost)?;
        let Observation { observed, sessions, silent, suspended } = self.observed(owner)?;
        let input = PlanInput { observed, sessions, silent, suspended, ..input };
        let again = self.proposal(input, owner.clone(), proposal.typed, Vec::new())?;
        again.plan.ok_or_else(lost)
    }

    /// Waits before another try. There is no event to await: what failed was tried, and may work by itself.
    fn pause(&self, after: Duration, failures: &[Failure]) -> Result<(), Failure> {
        for failure in failures {
            let message = output::visible(&failure.object().message).into_owned();
            output::warn(&format!("{message}; trying again in {} s", after.as_secs()));
        }
        client::block_on(async {
            tokio::time::sleep(after).await;
            Ok(())
        })
    }

    /// Waits until nobody works in one of these any more.
    fn await_idle(&self, busy: &[(SandboxId, String)], on: &dyn Progress) -> Result<(), Failure> {
        let mut sockets = Vec::new();
        for (id, words) in busy {
            on.step("waiting for sessions to end", None, words);
            sockets.push(self.socket(id)?);
        }
        client::block_on(async {
            let mut asked = tokio::task::JoinSet::new();
            for socket in sockets {
                asked.spawn(async move { Client::new(socket).idle().await });
            }
            match asked.join_next().await {
                // A keeper that is gone took its sessions along.
                Some(Ok(Ok(_) | Err(ClientError::NotRunning | ClientError::Broken(_)))) | None => Ok(()),
                Some(Ok(Err(error))) => Err(error.into()),
                Some(Err(error)) => Err(Failure::from_error(Kind::Failed, "keeper_unreachable", &error)),
            }
        })
    }

    /// Waits until a sandbox that runs is set up; one that is not to run is not waited for.
    fn await_ready(&self, record: &Record) -> Result<(), Failure> {
        let client = Client::new(self.socket(&record.id)?);
        // Whether it answers at all is known within a time limit; a set-up may take long.
        let asked = async {
            client.status().await?;
            client.wait().await
        };
        let status = match client::block_on(async { Ok(asked.await) })? {
            Ok(status) => status,
            Err(ClientError::NotRunning | ClientError::Broken(_)) => self.last_status(record),
            Err(error) => return Err(error.into()),
        };
        match status.phase {
            Phase::Failed => {
                let reason = status.reason.as_deref().unwrap_or("no reason is known");
                let message = format!("{} is {}: {reason}", record.name, status.phase);
                Err(Failure::new(Kind::Failed, "not_ready", message)
                    .hint(format!("cofferdam logs {}", record.name)))
            }
            _ => failure::setup(&status).map_or(Ok(()), Err),
        }
    }

    fn delete(&self, proposal: &Proposal, owner: &Owner) -> Result<Vec<SandboxStatus>, Failure> {
        for record in self.records_of(owner)? {
            if proposal.desired.iter().any(|sandbox| sandbox.name == record.name) {
                self.stop_record(&record, DELETE_GRACE)?;
                self.remove_record(&record)?;
            }
        }
        Ok(Vec::new())
    }
}

/// What a failure means for a sandbox that exists. A set-up that failed stands in its own status.
pub(super) fn obstacle(failure: &Failure) -> Option<Obstructed> {
    let by = match (failure.kind(), failure.code()) {
        (_, "setup_failed") => return None,
        (_, "secret_missing") => Obstacle::SecretMissing,
        (_, "template" | "template_failed" | "package_name" | "unknown_package") => Obstacle::TemplateFailed,
        (Kind::HostLacks, _) => Obstacle::HostLacks,
        (Kind::Denied, _) => Obstacle::PolicyDenied,
        _ => Obstacle::Failed,
    };
    let object = failure.object();
    let sentence = match &object.hint {
        Some(hint) => format!("{} ({hint})", object.message),
        None => object.message.clone(),
    };
    Some(Obstructed { by, message: sentence.chars().take(SENTENCE_MAX).collect() })
}

/// What a step failed with.
fn failure(outcome: Outcome<Failure>) -> Option<(Name, Failure)> {
    let name = outcome.step.name;
    match outcome.fate {
        Fate::Done => None,
        Fate::Failed(failure) => Some((name, failure)),
        Fate::Held { claim, by } => {
            let message = format!("{name}: {claim} is still held by {by}, which did not stop");
            Some((name, Failure::new(Kind::Failed, "held", message).hint("apply again")))
        }
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

#[cfg(test)]
#[path = "carry_tests.rs"]
mod tests;
