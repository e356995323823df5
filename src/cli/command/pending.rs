//! `pending`: what waits for an answer. The one inbox.

use serde_json::json;

use crate::cli::{
    context::Context,
    failure::{CommandResult, Outcome},
    render,
};

/// Arguments of `pending`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Definition, as `dev` or `web/dev`; default: all of this user's
    name: Option<String>,
    /// What was approved and rejected, too
    #[arg(long)]
    all: bool,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing was ever asked for.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let mut inboxes = context.ops.approvals().inboxes(args.name.as_deref())?;
    if !args.all {
        inboxes.retain(|inbox| !inbox.asked.is_empty());
        for inbox in &mut inboxes {
            inbox.approved.clear();
            inbox.rejected.clear();
            inbox.committed.clear();
        }
    }
    context.out.data(&json!({ "pending": inboxes }), || render::inboxes(&inboxes))?;
    if args.all {
        context.say_trusted(&context.ops.approvals().trusted()?);
    }
    if inboxes.is_empty() {
        context.out.say("nothing waits");
    }
    Ok(Outcome::Done)
}
