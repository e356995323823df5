//! `stop`: stops sandboxes; their disks stay.

use std::time::Duration;

use crate::cli::{args, context::Context, failure::CommandResult};

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes
    #[arg(required = true)]
    names: Vec<String>,
    /// How long a guest may take to go down by itself
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "10s")]
    grace: Duration,
    /// Ask the guest not at all, and kill a keeper that hangs
    #[arg(long)]
    force: bool,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a machine that does not stop.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let stop = |name: &String| {
        if context.ops.machines().is_damaged(name) {
            context.ops.machines().end_damaged(name, false)?;
            let mut statuses = context.ops.machines().list(false)?;
            statuses.retain(|status| status.id == *name);
            return Ok(statuses);
        }
        Ok(vec![context.ops.machines().stop(&context.ops.machines().find(name)?, args.grace, args.force)?])
    };
    context.show_statuses(&super::for_each(&args.names, stop)?.concat())
}
