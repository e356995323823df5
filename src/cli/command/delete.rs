//! `delete`: removes the sandboxes that files define.

use serde_json::json;

use crate::cli::{
    args::FileArg,
    context::Context,
    failure::{CommandResult, Failure, Outcome},
    ops::{Action, Source, Wish},
    render,
};

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: FileArg,
    /// Without a question
    #[arg(short, long, visible_alias = "force")]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// Findings; nobody to ask; a machine that does not stop.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let source = args.files.source();
    if source == Source::Search {
        // What is removed is named: no command removes what it happens to find.
        return Err(
            Failure::usage("needs_file", "delete needs the files whose sandboxes shall go").hint("pass -f")
        );
    }
    let proposal = context.ops.plans().propose_delete(&source)?;
    let doomed: Vec<&str> = proposal
        .changes
        .iter()
        .filter(|change| change.action == Action::Delete)
        .map(|change| change.sandbox.as_str())
        .collect();
    if !doomed.is_empty() && !args.yes {
        context.out.say(render::proposal(&proposal));
        super::confirm_loss(context, "Remove them with everything on their disks?", "--yes")?;
    }
    context.ops.plans().apply(&proposal, &Wish::default(), &*context.progress())?;
    context
        .out
        .data(&json!({ "removed": doomed }), || doomed.iter().map(|name| format!("{name}\n")).collect())?;
    Ok(Outcome::Done)
}
