//! `suspend`: takes a sandbox out of reconciling: files and approvals change nothing of it until `resume`.

use crate::cli::{context::Context, failure::CommandResult};

/// Arguments of `suspend`.
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
    let suspend = |name: &String| context.ops.machines().suspend(&context.ops.machines().find(name)?, true);
    context.show_statuses(&super::for_each(&args.names, suspend)?)
}
