//! `ls`: lists sandboxes.

use crate::cli::{
    context::Context,
    failure::{CommandResult, Outcome},
    output::Format,
};

/// Arguments of `ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those of this repository
    #[arg(long)]
    here: bool,
    /// Names only, one on each line
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When the state directory cannot be read.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let statuses = context.ops.machines().list(args.here)?;
    if args.quiet && context.out.format == Format::Text {
        let names: String = statuses.iter().map(|status| format!("{}\n", status.name)).collect();
        context.out.raw(names.as_bytes())?;
        return Ok(Outcome::Done);
    }
    context.show_statuses(&statuses)
}
