//! One pass over a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::{
    claim::{Claim, claims, held},
    verdict::{Verdict, backoff},
    world::{Outlook, World},
};
use crate::{
    model::{
        desired::Sandbox,
        name::{Name, SandboxId},
        progress::Unfinished,
    },
    plan::{Action, Observed, Step},
};

/// What became of one step.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate<F> {
    /// It was done.
    Done,
    /// It failed. What was begun is noted in the record, and the next pass goes on from there.
    Failed(F),
    /// It was not begun: another sandbox, whose removal failed, still holds what this one would take.
    Held {
        /// What.
        claim: Claim,
        /// Who holds it.
        by: Name,
    },
}

/// One step and its fate.
#[derive(Debug)]
pub struct Outcome<F> {
    /// The step.
    pub step: Step,
    /// What became of it.
    pub fate: Fate<F>,
}

/// What a pass ended with.
#[derive(Debug)]
pub struct Report<F> {
    /// In the order of the plan.
    pub outcomes: Vec<Outcome<F>>,
    /// What is to be done next.
    pub verdict: Verdict,
}

/// Executes a plan; every step is tried, whatever became of the others. `attempt` counts the passes in a row that asked
/// for another.
pub fn execute<W: World>(
    world: &mut W,
    desired: &[Sandbox],
    observed: &[Observed],
    steps: Vec<Step>,
    attempt: u32,
    begin: impl FnMut(&Step),
) -> Report<W::Failure> {
    execute_in(&Half::ORDER, world, desired, observed, steps, attempt, begin)
}

fn execute_in<W: World>(
    order: &[Half],
    world: &mut W,
    desired: &[Sandbox],
    observed: &[Observed],
    steps: Vec<Step>,
    attempt: u32,
    mut begin: impl FnMut(&Step),
) -> Report<W::Failure> {
    let work = |step: Step| {
        let found = step.id.as_ref().and_then(|id| observed.iter().find(|it| it.id == *id));
        Work {
            wanted: desired.iter().find(|sandbox| sandbox.name == step.name),
            held: found.map(held).unwrap_or_default(),
            unfinished: found.and_then(|found| found.unfinished),
            begun: false,
            fate: Fate::Done,
            step,
        }
    };
    let mut works: Vec<Work<'_, W::Failure>> = steps.into_iter().map(work).collect();
    let mut held = BTreeMap::new();
    for half in order {
        for work in &mut works {
            if work.has(*half) && matches!(work.fate, Fate::Done) {
                if !mem::replace(&mut work.begun, true) {
                    begin(&work.step);
                }
                work.go(*half, world, &mut held);
            }
        }
    }
    let verdict = verdict(world, &works, attempt);
    let outcomes = works.into_iter().map(|work| Outcome { step: work.step, fate: work.fate }).collect();
    Report { outcomes, verdict }
}

/// The halves of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// What takes away: removals, and stops.
    Removal,
    /// New rules in machines that go on: a whole set in place of another, which may take away.
    Live,
    /// What adds: starts.
    Addition,
}

impl Half {
    const ORDER: [Self; 3] = [Self::Removal, Self::Live, Self::Addition];
}

/// One step on its way.
struct Work<'a, F> {
    step: Step,
    wanted: Option<&'a Sandbox>,
    /// What its machine has until it is stopped.
    held: BTreeSet<Claim>,
    /// What an interrupted pass has left.
    unfinished: Option<Unfinished>,
    begun: bool,
    fate: Fate<F>,
}

impl<F> Work<'_, F> {
    fn has(&self, half: Half) -> bool {
        match half {
            Half::Removal => {
                matches!(
                    self.step.action,
                    Action::Remove | Action::Orphan | Action::Restart | Action::Replace
                )
            }
            Half::Live => self.step.action == Action::UpdateLive,
            Half::Addition => {
                matches!(self.step.action, Action::Create | Action::Start | Action::Restart | Action::Replace)
            }
        }
    }

    fn go<W: World<Failure = F>>(&mut self, half: Half, world: &mut W, held: &mut BTreeMap<Claim, Name>) {
        if half != Half::Removal
            && let Some((claim, by)) = self.missing(held)
        {
            self.fate = Fate::Held { claim, by };
            self.keep(held);
            return;
        }
        let done = match half {
            Half::Removal => remove(world, &self.step, self.wanted),
            Half::Live => live(world, &self.step, self.wanted, self.unfinished),
            Half::Addition => add(world, &self.step, self.wanted),
        };
        if let Err(failure) = done {
            self.fate = Fate::Failed(failure);
            self.keep(held);
        }
    }

    /// The first thing that this sandbox would take and another, whose removal failed, still holds.
    fn missing(&self, held: &BTreeMap<Claim, Name>) -> Option<(Claim, Name)> {
        let wanted = claims(self.wanted?);
        let taken = wanted.into_iter().find_map(|claim| held.get_key_value(&claim));
        taken.filter(|(_, by)| **by != self.step.name).map(|(claim, by)| (claim.clone(), by.clone()))
    }

    /// What did not happen left the sandbox with all that it had.
    fn keep(&self, held: &mut BTreeMap<Claim, Name>) {
        for claim in &self.held {
            held.entry(claim.clone()).or_insert_with(|| self.step.name.clone());
        }
    }
}

/// The identity of a sandbox that exists, and what it shall be; steps of the planner have both.
fn parts<'a>(step: &'a Step, wanted: Option<&'a Sandbox>) -> Option<(&'a SandboxId, &'a Sandbox)> {
    step.id.as_ref().zip(wanted)
}

fn remove<W: World>(world: &mut W, step: &Step, wanted: Option<&Sandbox>) -> Result<(), W::Failure> {
    let left = match step.action {
        Action::Restart => Unfinished::Stop,
        Action::Replace => Unfinished::Renew,
        _ => {
            let Some(id) = &step.id else { return Ok(()) };
            if step.action == Action::Remove {
                world.stop(id)?;
                return world.remove(id);
            }
            world.orphan(id)?;
            return world.stop(id);
        }
    };
    let Some((id, wanted)) = parts(step, wanted) else { return Ok(()) };
    // The definition first: where policy refuses it, the machine goes on as it was.
    world.record(id, wanted, left)?;
    world.stop(id)
}

fn live<W: World>(
    world: &mut W,
    step: &Step,
    wanted: Option<&Sandbox>,
    unfinished: Option<Unfinished>,
) -> Result<(), W::Failure> {
    let Some((id, wanted)) = parts(step, wanted) else { return Ok(()) };
    world.record(id, wanted, Unfinished::Enforce)?;
    world.enforce(id)?;
    // A restart that was begun and now waits for sessions is still to be done.
    world.reach(id, unfinished.filter(|left| *left > Unfinished::Enforce))
}

fn add<W: World>(world: &mut W, step: &Step, wanted: Option<&Sandbox>) -> Result<(), W::Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    let id = match &step.id {
        None => world.create(wanted)?,
        Some(id) => id.clone(),
    };
    match step.action {
        Action::Create => {
            if step.id.is_some() {
                world.record(&id, wanted, Unfinished::Disks)?;
            }
            world.furnish(&id)?;
            world.reach(&id, Some(Unfinished::Start))?;
        }
        Action::Replace => {
            world.renew(&id)?;
            // From here on the new disk may hold something: it is not renewed again.
            world.reach(&id, Some(Unfinished::Start))?;
        }
        Action::Restart => world.reach(&id, Some(Unfinished::Start))?,
        _ => {
            world.record(&id, wanted, Unfinished::Start)?;
            // It is down: of all that was left, only the start is.
            world.reach(&id, Some(Unfinished::Start))?;
        }
    }
    world.start(&id)?;
    world.reach(&id, None)
}

fn verdict<W: World>(world: &W, works: &[Work<'_, W::Failure>], attempt: u32) -> Verdict {
    let mut reasons = Vec::new();
    for work in works {
        match &work.fate {
            Fate::Done => {}
            Fate::Failed(failure) if world.outlook(failure) == Outlook::Retry => {
                return Verdict::Retry { after: backoff(attempt) };
            }
            Fate::Failed(failure) => reasons.push(format!("{}: {}", work.step.name, world.words(failure))),
            Fate::Held { claim, by } => {
                reasons.push(format!("{}: {claim} is still held by {by}", work.step.name));
            }
        }
    }
    if reasons.is_empty() { Verdict::Done } else { Verdict::Waiting { reason: reasons.join("\n") } }
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
