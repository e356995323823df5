//! `policy`: the rules, where each comes from, and what they did.

mod ask;
mod edit;
mod log;
mod ls;

use crate::cli::{context::Context, failure::CommandResult};

/// Arguments of `policy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the rules in force
    Ls(ls::Args),
    /// Allow hosts, at once
    Allow(edit::AddArgs),
    /// Deny hosts, at once
    Deny(edit::AddArgs),
    /// Remove rules of the command line
    Rm(edit::RemoveArgs),
    /// Remove all rules of the command line
    Reset(edit::ResetArgs),
    /// Show what was decided, with counts and rules
    Log(log::Args),
    /// Ask what would be decided; exit code 4 when it is denied
    Check(ask::Args),
    /// As check, with every rule that was looked at
    Explain(ask::Args),
}

/// The kinds of rule that have commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Plane {
    /// Connections and requests
    Network,
}

/// Runs the command.
///
/// # Errors
/// As of the sub-command.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    match &args.command {
        Command::Ls(args) => ls::run(args, context),
        Command::Allow(args) => edit::add(args, crate::model::rule::Effect::Allow, context),
        Command::Deny(args) => edit::add(args, crate::model::rule::Effect::Deny, context),
        Command::Rm(args) => edit::remove(args, context),
        Command::Reset(args) => edit::reset(args, context),
        Command::Log(args) => log::run(args, context),
        Command::Check(args) => ask::run(args, false, context),
        Command::Explain(args) => ask::run(args, true, context),
    }
}
