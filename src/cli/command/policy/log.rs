//! `policy log`: what was decided, with counts and rules.

use serde_json::json;

use crate::{
    audit::view::Summary,
    cli::{
        command::audit::{events, follow},
        context::Context,
        failure::{CommandResult, Failure, Outcome},
    },
    model::event::{Decision, Event},
};

/// Arguments of `policy log`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox; default: all of this user's
    name: Option<String>,
    /// Show each decision as it is made, until interrupted
    #[arg(long, requires = "name")]
    follow: bool,
    /// Only what was blocked
    #[arg(long)]
    denied: bool,
    /// Only the last rows
    #[arg(short = 'n', long, value_name = "ROWS")]
    limit: Option<usize>,
}

/// Actions that are decisions of policy; the trail has others too.
const DECISIONS: [&str; 5] = ["net.", "http.", "fs.", "secret.", "mcp."];

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a record that is not what was written.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let sandbox = super::super::find_named(args.name.as_ref(), context)?;
    let wanted = |event: &Event| {
        DECISIONS.iter().any(|prefix| event.action.starts_with(prefix))
            && !(args.denied && event.decision == Decision::Allow)
    };
    if let (true, Some(sandbox)) = (args.follow, &sandbox) {
        return follow(&sandbox.audit, args.limit.unwrap_or(20), wanted, context);
    }
    // Of several sandboxes each row says whose it is.
    let mut summary = if sandbox.is_none() { Summary::of_several() } else { Summary::default() };
    let mut failures: Vec<Failure> = Vec::new();
    for trail in context.ops.machines().trails(sandbox.as_ref())? {
        for event in events(&trail, crate::audit::query::Filter::default())? {
            match event {
                Ok(event) if wanted(&event) => summary.add(event),
                Ok(_) => {}
                Err(failure) => failures.push(failure),
            }
        }
    }
    if sandbox.is_none() {
        summary.rows.sort_by(|a, b| a.first.cmp(&b.first));
    }
    if let Some(limit) = args.limit {
        summary.rows.drain(..summary.rows.len().saturating_sub(limit));
    }
    context.out.data(&json!(summary), || summary.text())?;
    Failure::several(failures).map_or(Ok(Outcome::Done), Err)
}
