//! `resume`: puts a suspended sandbox back under its files; the next `apply` makes it what they say.

use crate::cli::{context::Context, failure::CommandResult};

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes
    #[arg(required = true)]
    names: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a state that cannot be written.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let resume = |name: &String| context.ops.machines().suspend(&context.ops.machines().find(name)?, false);
    context.show_statuses(&super::for_each(&args.names, resume)?)
}
