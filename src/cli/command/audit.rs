//! `audit`: follows, verifies and searches the trail.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{
    audit::{
        query::{self, Filter},
        tail::Tail,
        verify, view,
    },
    cli::{
        args,
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::Found,
        output::visible,
    },
    model::{
        event::{Decision, Event},
        text::counted,
    },
};

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the last events, and each new one until interrupted
    Tail {
        /// Sandbox
        name: String,
        /// So many of the last events first
        #[arg(short = 'n', long, value_name = "EVENTS", default_value_t = 10)]
        lines: usize,
    },
    /// Hold trails against their chains; names the first bad record
    Verify {
        /// Sandbox; default: the host's trail and those of all sandboxes
        name: Option<String>,
    },
    /// Search events, oldest first
    Query(QueryArgs),
}

#[derive(Debug, clap::Args)]
struct QueryArgs {
    /// Sandbox; default: the host's trail and those of all sandboxes
    name: Option<String>,
    /// Action, as net.connect, or all below one, as net.*
    #[arg(long)]
    action: Option<String>,
    /// Outcome
    #[arg(long, value_enum)]
    decision: Option<DecisionWord>,
    /// Not before this time (RFC 3339), or so long ago (1h)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<jiff::Timestamp>,
    /// Part of the resource
    #[arg(long)]
    resource: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "EVENTS")]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum DecisionWord {
    Allow,
    Deny,
    ApprovalRequired,
    Unknown,
}

fn since(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ago = args::duration(text)?;
    let ago = jiff::SignedDuration::try_from(ago).map_err(|error| error.to_string())?;
    jiff::Timestamp::now().checked_sub(ago).map_err(|error| error.to_string())
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a bad record.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    match &args.command {
        Command::Tail { name, lines } => {
            let sandbox = context.ops.machines().find(name)?;
            follow(&sandbox.audit, *lines, |_| true, context)
        }
        Command::Verify { name } => verify(super::find_named(name.as_ref(), context)?.as_ref(), context),
        Command::Query(args) => search(args, context),
    }
}

fn search(args: &QueryArgs, context: &Context<'_>) -> CommandResult {
    let filter = Filter {
        action: args.action.clone(),
        decision: args.decision.map(|word| match word {
            DecisionWord::Allow => Decision::Allow,
            DecisionWord::Deny => Decision::Deny,
            DecisionWord::ApprovalRequired => Decision::ApprovalRequired,
            DecisionWord::Unknown => Decision::Unknown,
        }),
        since: args.since,
        resource: args.resource.clone(),
    };
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut failures = Vec::new();
    for trail in context.ops.machines().trails(super::find_named(args.name.as_ref(), context)?.as_ref())? {
        for event in events(&trail, filter.clone())? {
            if left == 0 {
                break;
            }
            match event {
                Ok(event) => show(&event, context)?,
                Err(failure) => failures.push(failure),
            }
            left -= 1;
        }
    }
    Failure::several(failures).map_or(Ok(Outcome::Done), Err)
}

fn verify(sandbox: Option<&Found>, context: &Context<'_>) -> CommandResult {
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for trail in context.ops.machines().trails(sandbox)? {
        let report = match verify::directory(&trail, None) {
            Err(error) if is_absent(&error) => continue,
            report => report.map_err(|error| unreadable(&error))?,
        };
        let bad = report.bad.as_ref().map(
            |bad| json!({ "file": bad.file, "line": bad.line, "seq": bad.seq, "why": bad.flaw.to_string() }),
        );
        if let Some(bad) = &report.bad {
            let line = u32::try_from(bad.line).ok();
            failures.push(bad_record(bad).at(&bad.file, line, None));
        }
        reports.push((trail, report.events, report.head, bad));
    }
    let verified = failures.is_empty();
    let events: u64 = reports.iter().map(|(_, events, ..)| events).sum();
    let trails: Vec<_> = reports
        .iter()
        .map(|(path, events, head, bad)| {
            json!({ "path": path, "events": events, "head": { "seq": head.seq, "hash": head.hash }, "bad": bad })
        })
        .collect();
    let value = json!({ "verified": verified, "events": events, "trails": trails });
    context.out.data(&value, || {
        let line = |(path, events, _, bad): &(PathBuf, u64, _, Option<_>)| {
            let word = if bad.is_none() { "verified" } else { "BAD     " };
            format!(
                "{word}  {}  {}\n",
                counted(usize::try_from(*events).unwrap_or(usize::MAX), "event"),
                visible(&path.to_string_lossy())
            )
        };
        reports.iter().map(line).collect()
    })?;
    Failure::several(failures).map_or(Ok(Outcome::Done), Err)
}

/// Events of one trail, oldest first; a trail that nothing was written to has none.
///
/// # Errors
/// When the folder cannot be read.
pub fn events(
    trail: &Path,
    filter: Filter,
) -> Result<Box<dyn Iterator<Item = Result<Event, Failure>>>, Failure> {
    match query::oldest_first(trail, filter) {
        Err(error) if is_absent(&error) => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(unreadable(&error)),
        Ok(events) => Ok(Box::new(events.map(|event| event.map_err(|error| unreadable(&error))))),
    }
}

/// The last `count` events that are wanted, then each new one.
///
/// # Errors
/// When the trail cannot be read, or nobody reads our output.
pub fn follow(
    trail: &Path,
    count: usize,
    wanted: impl Fn(&Event) -> bool,
    context: &Context<'_>,
) -> CommandResult {
    let last = match query::newest_first(trail, Filter::default()) {
        Err(error) if is_absent(&error) => 0,
        Err(error) => return Err(unreadable(&error)),
        Ok(events) => {
            let wanted = events.filter_map(Result::ok).filter(|event| wanted(event));
            wanted.take(count.max(1)).map(|event| event.seq).last().unwrap_or(0)
        }
    };
    let after = if count == 0 { last } else { last.saturating_sub(1) };
    let tail = Tail::open(trail, after)
        .map_err(|error| unreadable(&error).hint("a sandbox that was never started has no trail yet"))?;
    for event in tail {
        let event = event.map_err(|error| unreadable(&error))?;
        if wanted(&event) {
            show(&event, context)?;
        }
    }
    Ok(Outcome::Done)
}

fn show(event: &Event, context: &Context<'_>) -> Result<(), Failure> {
    context.out.item(event, || view::line(event) + "\n")
}

fn is_absent(error: &crate::audit::ReadError) -> bool {
    use crate::audit::ReadError;
    matches!(error, ReadError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn unreadable(error: &crate::audit::ReadError) -> Failure {
    match error {
        crate::audit::ReadError::Bad(bad) => bad_record(bad),
        crate::audit::ReadError::Io { .. } => Failure::from_error(Kind::Failed, "trail_unreadable", error),
    }
}

fn bad_record(bad: &crate::audit::Bad) -> Failure {
    Failure::from_error(Kind::Failed, "audit_bad", bad)
        .hint("keep the files as they are; `cofferdam audit verify` says how far the trail is good")
}
