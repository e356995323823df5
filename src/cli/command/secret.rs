//! `secret`: the operator's secrets by name. No value passes through here.

use serde_json::json;

use crate::cli::{
    context::Context,
    failure::{CommandResult, Outcome},
    output::Table,
};

/// Arguments of `secret`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List secrets with where their values come from
    Ls,
}

/// Runs the command.
///
/// # Errors
/// When the operator's configuration is wrong.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    match args.command {
        Command::Ls => {
            let secrets = context.ops.account().secrets()?;
            context.out.data(&json!({ "secrets": secrets }), || {
                let mut table = Table::new(&["NAME", "SOURCE", "VALUE"]);
                for secret in &secrets {
                    let value = match secret.present {
                        Some(true) => "********",
                        Some(false) => "missing",
                        None => "not asked",
                    };
                    table.row([secret.name.as_str(), &secret.source, value]);
                }
                table.render()
            })?;
            Ok(Outcome::Done)
        }
    }
}
