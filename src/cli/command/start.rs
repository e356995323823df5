//! `start`: starts sandboxes and waits until their guests answer.

use crate::cli::{context::Context, failure::CommandResult};

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes
    #[arg(required = true)]
    names: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a machine that does not start.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let progress = context.progress();
    let start = |name: &String| context.ops.machines().start(&context.ops.machines().find(name)?, &*progress);
    let statuses = super::for_each(&args.names, start)?;
    drop(progress);
    context.show_statuses(&statuses)
}
