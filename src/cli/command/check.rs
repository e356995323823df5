//! `check`: checks files; changes nothing.

use serde_json::json;

use crate::cli::{
    args::FileArg,
    context::Context,
    failure::{CommandResult, Outcome},
};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: FileArg,
}

/// Runs the command.
///
/// # Errors
/// Every finding, with its line.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let checked = context.ops.documents().check(&args.files.source())?;
    for warning in &checked.warnings {
        context.out.say(format!("warning: {warning}"));
    }
    let names: Vec<&str> = checked.sandboxes.iter().map(|sandbox| sandbox.name.as_str()).collect();
    let value = json!({ "valid": true, "sandboxes": names, "warnings": checked.warnings });
    context.out.data(&value, || format!("ok: {}\n", names.join(", ")))?;
    Ok(Outcome::Done)
}
