//! `apply`: makes the machines what the files say.

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use crate::{
    cli::{
        args::{self, FileArg},
        context::Context,
        failure::{self, CommandResult, Failure, Kind},
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
            let proposal = context.ops.plans().propose(&args.files.source(), &wish)?;
            refuse_another(file, &proposal)?;
            context.carry_out_planned(proposal, &wish)?
        }
    };
    if !carried.proposal.says_something() && carried.proposal.asked.is_empty() {
        context.out.say("nothing to change");
    }
    let value = json!({ "sandboxes": carried.statuses, "pending": carried.proposal.asked });
    context.out.data(&value, || render::statuses(&carried.statuses))?;
    match Failure::several(carried.statuses.iter().filter_map(unmet).collect()) {
        Some(failure) => Err(failure),
        None => Ok(carried.outcome()),
    }
}

/// What keeps a sandbox from what its file says, although this pass did all that it could: somebody works in it, or its
/// set-up failed, now or in an earlier pass. Nothing is expected of one that is suspended.
fn unmet(status: &SandboxStatus) -> Option<Failure> {
    let condition = |wanted: fn(&&Condition) -> bool| status.conditions.iter().find(wanted);
    if let Some(busy) = condition(|it| it.reason.as_deref() == Some("Busy")) {
        let message = busy.message.clone().unwrap_or_default();
        return Some(Failure::new(Kind::Failed, "busy", format!("{}: {message}", status.name)));
    }
    condition(|it| it.condition == "Suspended").is_none().then(|| failure::setup(status)).flatten()
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
    if saved.ground == now.ground && saved.deeds().eq(now.deeds()) {
        return Ok(());
    }
    let names = saved.steps.iter().chain(&now.steps).map(|step| &step.name);
    let step = |plan: &plan::Plan, name: &Name| plan.deeds().find(|step| step.name == *name);
    let differs = names.into_iter().find(|name| step(&saved, name) != step(now, name));
    let what = differs.map_or_else(|| "the repository".to_owned(), |name| format!("sandbox {name}"));
    let message = format!(
        "the plan is stale: {what} would not become what it says; files, sandboxes or approvals have changed, or it was made with another -f"
    );
    Err(Failure::new(Kind::Failed, "stale_plan", message)
        .hint("cofferdam plan --out FILE, look at it, and apply that"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::unmet;

    fn code(conditions: &Value) -> Option<String> {
        let status = json!({
            "name": "dev", "id": "1f2e3d4c5b6a", "agent": "shell", "phase": "running", "conditions": conditions,
            "setup": {"state": "failed", "step": "npm ci", "index": 1, "total": 1},
        });
        let failure = unmet(&serde_json::from_value(status).unwrap())?;
        Some(failure.code().to_owned())
    }

    #[test]
    fn a_pass_that_has_nothing_to_do_still_fails_where_a_set_up_did() {
        let stalled = json!({"condition": "Stalled", "reason": "SetupFailed"});
        assert_eq!(code(&json!([stalled])).as_deref(), Some("setup_failed"));
        let busy = json!({"condition": "Stalled", "reason": "Busy", "message": "somebody works in it"});
        assert_eq!(code(&json!([busy, stalled])).as_deref(), Some("busy"));
        assert_eq!(code(&json!([stalled, {"condition": "Suspended"}])), None);
    }
}
