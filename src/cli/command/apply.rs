//! `apply`: makes the machines what the files say.

use crate::cli::{args::FileArg, context::Context, failure::CommandResult};

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: FileArg,
    /// Grant what the files ask for without a question
    #[arg(short, long)]
    yes: bool,
    /// Return when every guest answers, or has failed
    #[arg(long)]
    wait: bool,
}

/// Runs the command.
///
/// # Errors
/// Findings, a denial, an approval that is missing, a machine that does not start.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let carried = context.carry_out(&args.files.source(), args.yes, args.wait)?;
    if !carried.proposal.changes_something() {
        context.out.say("nothing to change");
    }
    context.show_statuses(&carried.statuses)
}
