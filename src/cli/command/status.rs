//! `status`: where sandboxes stand. Exit code 0 whenever it could answer.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    cli::{
        args,
        condition::Awaited,
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        render,
    },
    model::status::SandboxStatus,
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes; default: all of this user's
    names: Vec<String>,
    /// Only those of this repository
    #[arg(long, conflicts_with = "names")]
    here: bool,
    /// Wait until the named sandboxes have this condition, or a condition with this reason; !CONDITION: until it is gone
    #[arg(long, value_name = "CONDITION", requires = "names")]
    wait_for: Option<Awaited>,
    /// Wait no longer than this
    #[arg(long, value_name = "TIME", value_parser = args::duration, requires = "wait_for", default_value = "5m")]
    timeout: Duration,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a condition that does not come.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    if let Some(awaited) = args.wait_for {
        let deadline = Instant::now().checked_add(args.timeout);
        let left = || deadline.map_or(Duration::MAX, |it| it.saturating_duration_since(Instant::now()));
        let each = |name: &String| await_condition(name, awaited, left(), args, context);
        return show(&super::for_each(&args.names, each)?, context);
    }
    let mut statuses = context.ops.machines().list(args.here)?;
    if !args.names.is_empty() {
        let unmade = |name: &String| statuses.iter().any(|it| it.id.is_empty() && it.name == *name);
        let ids = super::for_each(&args.names, |name| match unmade(name) {
            true => Ok((String::new(), name.clone())),
            false => context.ops.machines().find(name).map(|it| (it.id, it.desired.name.to_string())),
        })?;
        statuses
            .retain(|it| ids.iter().any(|(id, name)| *id == it.id && (!id.is_empty() || *name == it.name)));
    }
    show(&statuses, context)
}

/// As other commands show them, with what the jails are without, and with how many of them have no file: their documents
/// are what command lines asked for.
fn show(statuses: &[SandboxStatus], context: &Context<'_>) -> CommandResult {
    let typed = statuses.iter().filter(|status| status.file.is_none()).count();
    let value = json!({ "sandboxes": statuses, "fromCommandLines": typed });
    context.out.data(&value, || {
        render::statuses(statuses) + &render::jails(statuses) + &render::from_command_lines(typed)
    })?;
    Ok(Outcome::Done)
}

fn await_condition(
    name: &str,
    awaited: Awaited,
    left: Duration,
    args: &Args,
    context: &Context<'_>,
) -> Result<SandboxStatus, Failure> {
    let over = |status: &SandboxStatus| awaited.holds(status) || awaited.hopeless(status).is_some();
    match context.ops.machines().await_status(&context.ops.machines().find(name)?, &over, left)? {
        Some(status) if awaited.holds(&status) => Ok(status),
        Some(status) => Err(awaited.hopeless(&status).unwrap_or_else(|| late(name, awaited, args))),
        None => Err(late(name, awaited, args)),
    }
}

fn late(name: &str, awaited: Awaited, args: &Args) -> Failure {
    let message = format!("{name} is not {awaited} after {} s", args.timeout.as_secs());
    Failure::new(Kind::TimedOut, "wait_timeout", message).hint(format!("cofferdam status {name}"))
}
