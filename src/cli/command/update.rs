//! `update`: what registries and kits resolve to now, into `sandbox.lock`. The one command of files that fetches kits.

use serde_json::json;

use crate::cli::{
    args::FileArg,
    context::Context,
    failure::{CommandResult, Failure, Kind, Outcome},
    ops::{LockUpdate, UpdateWish},
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
    /// Fetch kits from sources that the lock file does not have, without a question
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// Findings; a registry that nothing on this host knows; a file that cannot be written.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let may_fetch = |sources: &[String]| consent(sources, args.yes, context);
    let wish = UpdateWish { write: !args.dry_run, may_fetch: &may_fetch };
    let update = context.ops.documents().update_lock(&args.files.source(), &wish)?;
    for fetched in &update.fetched {
        context.out.say(visible(fetched));
    }
    context.out.data(&json!(update), || text(&update))?;
    if update.written {
        context.out.say(format!("wrote {}; commit it", visible(&update.path.display().to_string())));
    }
    Ok(Outcome::Done)
}

/// Asks whether sources may be fetched that nobody pinned yet.
fn consent(sources: &[String], yes: bool, context: &Context<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    for source in sources {
        context.out.say(format!("not in sandbox.lock yet: {}", visible(source)));
    }
    let nobody = || {
        Failure::usage("not_fetched", "kits would be fetched from sources that sandbox.lock does not have")
            .hint("look at them; --yes fetches them")
    };
    if context.prompt.confirm("Fetch from there?", nobody)? {
        return Ok(());
    }
    Err(Failure::new(Kind::Failed, "not_fetched", "nothing was fetched, and nothing was written"))
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
