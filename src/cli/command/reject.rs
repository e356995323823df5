//! `reject`: says no to grants that wait, or withdraws an approval; what exists follows at once.

use serde_json::json;

use super::pick;
use crate::cli::{
    context::Context,
    failure::{CommandResult, Failure, Outcome},
    ops::{Answer, Inbox},
    render,
};

/// Arguments of `reject`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Definition, as `dev` or `web/dev`
    name: String,
    /// What to reject: the ids that `pending --all` shows; an approved one is withdrawn. Default: all that waits
    ids: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing was asked for, an id that means nothing, a sandbox that does not follow.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let [inbox] = <[Inbox; 1]>::try_from(context.ops.approvals().inboxes(Some(&args.name))?)
        .map_err(|_| Failure::usage("several_sandboxes", "name one definition"))?;
    let grants = if args.ids.is_empty() {
        inbox.asked.iter().map(|asked| asked.grant.clone()).collect()
    } else {
        pick::grants(&args.ids, &inbox)?
    };
    if grants.is_empty() {
        context.out.say("nothing waits");
    } else {
        context.ops.approvals().answer(&inbox, &grants, &Answer::Reject, &*context.progress())?;
    }
    context.out.data(&json!({ "rejected": grants }), || {
        grants.iter().map(|grant| format!("rejected {}\n", render::line(grant))).collect()
    })?;
    Ok(Outcome::Done)
}
