//! Makes what is into what shall be: plans, then executes the plan step by step over a [`World`] that it owns as a
//! trait. One sandbox's failure neither stops nor harms the others.

use crate::{
    model::{desired::Sandbox, name::SandboxId},
    plan::{self, Action, Observed, PlanError, Step},
};

/// What the reconciler needs of this host.
pub trait World {
    /// Why an effect failed.
    type Failure;

    /// The sandboxes that exist for the owner of the files.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn observe(&mut self) -> Result<Vec<Observed>, Self::Failure>;

    /// Makes a sandbox: policy is asked, disks and record are written, nothing runs.
    ///
    /// # Errors
    /// When policy refuses, or the host does; nothing is half-made then.
    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Self::Failure>;

    /// Writes a new definition.
    ///
    /// # Errors
    /// When policy refuses, or the host does; the old definition stands then.
    fn update(&mut self, id: &SandboxId, wanted: &Sandbox) -> Result<(), Self::Failure>;

    /// Puts the recorded rules in force in a running sandbox.
    ///
    /// # Errors
    /// When the sandbox does not take them.
    fn enforce(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Starts it and waits until its guest answers.
    ///
    /// # Errors
    /// When it does not come up.
    fn start(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;

    /// Stops it when it runs.
    ///
    /// # Errors
    /// When it does not go down.
    fn stop(&mut self, id: &SandboxId) -> Result<(), Self::Failure>;
}

/// What became of one step.
#[derive(Debug)]
pub struct Outcome<F> {
    /// The step.
    pub step: Step,
    /// Whether it was done.
    pub result: Result<(), F>,
}

/// Plans against what is observed.
///
/// # Errors
/// When the state cannot be read.
pub fn plan<W: World>(
    world: &mut W,
    desired: &[Sandbox],
) -> Result<Result<Vec<Step>, PlanError>, W::Failure> {
    Ok(plan::plan(desired, &world.observe()?))
}

/// Executes a plan; every step is tried, whatever became of the one before.
pub fn execute<W: World>(
    world: &mut W,
    desired: &[Sandbox],
    steps: Vec<Step>,
    mut begin: impl FnMut(&Step),
) -> Vec<Outcome<W::Failure>> {
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        let Some(wanted) = desired.iter().find(|sandbox| sandbox.name == step.name) else { continue };
        begin(&step);
        let result = take(world, wanted, &step);
        outcomes.push(Outcome { step, result });
    }
    outcomes
}

fn take<W: World>(world: &mut W, wanted: &Sandbox, step: &Step) -> Result<(), W::Failure> {
    let id = match &step.id {
        Some(id) => id.clone(),
        None => world.create(wanted)?,
    };
    match step.action {
        Action::Create | Action::Start => world.start(&id),
        Action::UpdateLive => {
            world.update(&id, wanted)?;
            world.enforce(&id)
        }
        Action::Restart => {
            world.update(&id, wanted)?;
            world.stop(&id)?;
            world.start(&id)
        }
        Action::Nothing => Ok(()),
    }
}
