//! `status`: where sandboxes stand. Exit code 0 whenever it could answer.

use std::time::Duration;

use crate::{
    cli::{
        args,
        client::{self, Client, ClientError},
        context::Context,
        failure::{self, CommandResult, Failure, Kind},
        ops::Found,
    },
    model::status::{Phase, SandboxStatus},
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes; default: all of this user's
    names: Vec<String>,
    /// Only those of this repository
    #[arg(long, conflicts_with = "names")]
    here: bool,
    /// Wait until the named sandbox is in this condition
    #[arg(long, value_name = "CONDITION", requires = "names")]
    wait_for: Option<Condition>,
    /// Wait no longer than this
    #[arg(long, value_name = "TIME", value_parser = args::duration, requires = "wait_for", default_value = "5m")]
    timeout: Duration,
}

/// Conditions that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Condition {
    /// The guest answers.
    Ready,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a condition that does not come.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    if args.wait_for == Some(Condition::Ready) {
        let each = |name: &String| ready(&context.ops.find(name)?, args.timeout);
        return context.show_statuses(&super::for_each(&args.names, each)?);
    }
    let mut statuses = context.ops.list(args.here)?;
    if !args.names.is_empty() {
        let found = super::for_each(&args.names, |name| context.ops.find(name))?;
        statuses.retain(|status| found.iter().any(|found| found.id == status.id));
    }
    context.show_statuses(&statuses)
}

fn ready(sandbox: &Found, timeout: Duration) -> Result<SandboxStatus, Failure> {
    let name = &sandbox.desired.name;
    let status = client::block_on(async {
        match tokio::time::timeout(timeout, Client::new(&sandbox.socket).wait()).await {
            Ok(Err(ClientError::NotRunning)) => {
                let message = format!("{name} is stopped and does not start");
                Err(Failure::new(Kind::Failed, "not_running", message)
                    .hint(format!("cofferdam start {name}")))
            }
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => {
                let message = format!("{name} is not Ready after {} s", timeout.as_secs());
                Err(Failure::new(Kind::TimedOut, "wait_timeout", message)
                    .hint(format!("cofferdam logs {name}")))
            }
        }
    })?;
    if status.phase == Phase::Running {
        return failure::setup(&status).map_or(Ok(status), Err);
    }
    let reason = status.reason.as_deref().unwrap_or("no reason is known");
    let message = format!("{name} is {}: {reason}", status.phase);
    Err(Failure::new(Kind::Failed, "not_ready", message).hint(format!("cofferdam logs {name}")))
}
