//! `apply`: makes the machines what the files say.

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use crate::{
    cli::{
        args::{self, FileArg},
        context::Context,
        failure::{CommandResult, Failure, Kind},
        ops::{Proposal, Wish},
        render,
        watchdog::Watchdog,
    },
    model::{
        name::Name,
        status::{Condition, SandboxStatus},
    },
    plan::{self, FILE_MAX},
    store::file,
};

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A plan that `plan --out` saved: exactly it is carried out, or nothing
    plan: Option<PathBuf>,
    #[command(flatten)]
    files: FileArg,
    /// Approve what the files ask for, as far as `approvals.yes` of the configuration goes
    #[arg(short, long, conflicts_with = "plan")]
    yes: bool,
    /// Start nothing before everything is approved
    #[arg(long)]
    require_approved: bool,
    /// Try again what may work by itself, and return when every sandbox is ready
    #[arg(long)]
    wait: bool,
    /// Wait until nobody works in a sandbox that is to be started anew, then do the rest
    #[arg(long, conflicts_with = "now")]
    when_idle: bool,
    /// End after this time, whatever is being done (exit 7); the next apply goes on
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Remove sandboxes whose document has disappeared, with their disks
    #[arg(long)]
    prune: bool,
    /// Start sandboxes anew that are in use, too
    #[arg(long)]
    now: bool,
}

/// Runs the command.
///
/// # Errors
/// Findings, a denial, an approval that is missing, a machine that does not start.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let _watchdog = args.timeout.map(|limit| Watchdog::start(limit, context.out.format));
    let wish = Wish {
        yes: args.yes,
        require_approved: args.require_approved,
        wait: args.wait,
        timeout: args.timeout,
        when_idle: args.when_idle,
        prune: args.prune,
        now: args.now,
        only: None,
    };
    let carried = match &args.plan {
        None => context.carry_out(&args.files.source(), &wish)?,
        Some(file) => {
            let proposal = context.ops.propose(&args.files.source(), &wish)?;
            refuse_another(file, &proposal)?;
            context.carry_out_planned(proposal, &wish)?
        }
    };
    if !carried.proposal.says_something() && carried.proposal.asked.is_empty() {
        context.out.say("nothing to change");
    }
    let value = json!({ "sandboxes": carried.statuses, "pending": carried.proposal.asked });
    context.out.data(&value, || render::statuses(&carried.statuses))?;
    match busy(&carried.statuses) {
        Some(failure) => Err(failure),
        None => Ok(carried.outcome()),
    }
}

/// What still waits until nobody works in a sandbox.
fn busy(statuses: &[SandboxStatus]) -> Option<Failure> {
    let is_busy = |it: &&Condition| it.reason.as_deref() == Some("Busy");
    let waits = |status: &SandboxStatus| {
        let message = status.conditions.iter().find(is_busy)?.message.clone().unwrap_or_default();
        Some(Failure::new(Kind::Failed, "busy", format!("{}: {message}", status.name)))
    };
    Failure::several(statuses.iter().filter_map(waits).collect())
}

/// Refuses when what was saved is not what would be done now: files, records or approvals have moved, or somebody has
/// written the saved plan. Nothing of it is believed beyond that it is the same.
fn refuse_another(path: &std::path::Path, proposal: &Proposal) -> Result<(), Failure> {
    let unreadable = |message: String| {
        Failure::new(Kind::File, "plan_file", message)
            .at(path, None, None)
            .hint("cofferdam plan --out FILE writes one")
    };
    let bytes = file::read_bounded(path, FILE_MAX as u64)
        .map_err(|error| unreadable(format!("cannot read the plan: {error}")))?
        .ok_or_else(|| {
            Failure::new(Kind::NotFound, "plan_file", format!("{}: there is no such plan", path.display()))
        })?;
    let saved = plan::plan_from(&bytes).map_err(|error| {
        let failure = unreadable(error.to_string());
        let files = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if !files {
            return failure;
        }
        failure.hint(format!("files are named with -f: `cofferdam apply -f {}`", path.display()))
    })?;
    let Some(now) = &proposal.plan else { return Ok(()) };
    if saved == *now {
        return Ok(());
    }
    let names = saved.steps.iter().chain(&now.steps).map(|step| &step.name);
    let step = |plan: &plan::Plan, name: &Name| plan.steps.iter().find(|step| step.name == *name).cloned();
    let differs = names.into_iter().find(|name| step(&saved, name) != step(now, name));
    let what = differs.map_or_else(|| "the repository".to_owned(), |name| format!("sandbox {name}"));
    let message = format!(
        "the plan is stale: {what} would not become what it says; files, sandboxes or approvals have changed, or it was made with another -f"
    );
    Err(Failure::new(Kind::Failed, "stale_plan", message)
        .hint("cofferdam plan --out FILE, look at it, and apply that"))
}
