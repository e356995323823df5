//! `restart`: stops and starts sandboxes.

use std::time::Duration;

use crate::cli::{args, context::Context, failure::CommandResult};

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes
    #[arg(required = true)]
    names: Vec<String>,
    /// How long a guest may take to go down by itself
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "10s")]
    grace: Duration,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a machine that does not stop or start.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let progress = context.progress();
    let restart = |name: &String| {
        let sandbox = context.ops.machines().find(name)?;
        context.ops.machines().stop(&sandbox, args.grace, false)?;
        context.ops.machines().start(&sandbox, &*progress)
    };
    let statuses = super::for_each(&args.names, restart)?;
    drop(progress);
    context.show_statuses(&statuses)
}
