//! `create`: makes a sandbox for an agent.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::{
    command::launch::LaunchArgs,
    context::Context,
    failure::CommandResult,
    ops::{Source, Wish},
};

/// Arguments of `create`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Agent kit
    pub agent: String,
    /// Workspace and further folders, each with `:ro` to keep it from writing
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub launch: LaunchArgs,
}

/// Runs the command.
///
/// # Errors
/// What `apply` of the same document ends with.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let document = args.launch.document_from(
        &args.agent,
        &args.paths,
        context.ops.documents().folder(),
        &context.out,
    )?;
    let source = Source::CommandLine(Box::new(document));
    let carried = context.carry_out(&source, &Wish { yes: args.launch.yes, ..Wish::default() })?;
    let names: Vec<String> = carried.statuses.iter().map(|status| status.name.clone()).collect();
    context.out.data(&json!({ "sandboxes": carried.statuses }), || names.join("\n") + "\n")?;
    Ok(carried.outcome())
}
