//! `completion`: a completion script for a shell.

use clap::CommandFactory as _;

use crate::cli::{
    Cli,
    context::Context,
    failure::{CommandResult, Outcome},
};

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell
    shell: clap_complete::Shell,
}

/// Runs the command.
///
/// # Errors
/// When standard output takes no more.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cofferdam", &mut script);
    context.out.raw(&script)?;
    Ok(Outcome::Done)
}
