//! `update`: what registries and kits resolve to now, into `sandbox.lock`.

use serde_json::json;

use crate::cli::{
    args::FileArg,
    context::Context,
    failure::{CommandResult, Outcome},
    ops::LockUpdate,
    output::visible,
};

/// Arguments of `update`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: FileArg,
    /// Show what would change; write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Findings; a registry that nothing on this host knows; a file that cannot be written.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let update = context.ops.update_lock(&args.files.source(), !args.dry_run)?;
    context.out.data(&json!(update), || text(&update))?;
    if update.written {
        context.out.say(format!("wrote {}; commit it", visible(&update.path.display().to_string())));
    }
    Ok(Outcome::Done)
}

fn text(update: &LockUpdate) -> String {
    if update.changes.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let mut text = String::new();
    for change in &update.changes {
        let nothing = "nothing".to_owned();
        let before = change.before.as_ref().unwrap_or(&nothing);
        let after = change.after.as_ref().unwrap_or(&nothing);
        text.push_str(&format!("{}: {} → {}\n", visible(&change.what), visible(before), visible(after)));
    }
    for consequence in &update.consequences {
        text.push_str(&format!("  {}\n", visible(consequence)));
    }
    text
}
