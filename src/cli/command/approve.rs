//! `approve`: says yes to grants that wait, and has what exists follow at once.

use jiff::Timestamp;
use serde_json::json;

use super::pick;
use crate::{
    cli::{
        committed,
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::{Answer, Inbox},
        place, render,
    },
    kit::{Checkout, DiscoverError, Repository},
    model::{end::End, remote::RemoteName},
    store::Owner,
};

/// Arguments of `approve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Definition, as `dev` or `web/dev`
    name: String,
    /// What to approve: ids that `pending` shows, or unique beginnings of 12 digits and more. Default: all that waits,
    /// after a question
    ids: Vec<String>,
    /// Without a question, as far as `approvals.yes` of the configuration goes
    #[arg(short, long, conflicts_with = "ids")]
    yes: bool,
    /// Last day (UTC) on which it counts, 2026-12-31, or a time, 2026-12-31T18:00:00Z. Where nothing waits, this is the
    /// end of what is approved already
    #[arg(long, value_name = "END")]
    until: Option<End>,
    /// Write it to `.cofferdam/approvals.yaml`, too, for `plan --against` and for hosts that trust a signed ref
    #[arg(long)]
    commit: bool,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing was asked for, an id that does not wait, nobody to ask, a sandbox that does not follow.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    if args.until.is_some_and(|until| until.is_over(Timestamp::now())) {
        return Err(Failure::usage("until", "--until has passed already")
            .hint("write the last day on which it shall count, or leave it out"));
    }
    let [inbox] = <[Inbox; 1]>::try_from(context.ops.approvals().inboxes(Some(&args.name))?)
        .map_err(|_| Failure::usage("several_sandboxes", "name one definition"))?;
    let grants = chosen(args, &inbox, context)?;
    if grants.is_empty() && !inbox.asked.is_empty() {
        context.out.data(&json!({ "approved": [] }), String::new)?;
        return Ok(uncovered(inbox.asked.len(), context));
    }
    if grants.is_empty() {
        context.out.say(match args.until {
            Some(until) => format!("nothing waits, and nothing is to end otherwise than {until}"),
            None => "nothing waits".to_owned(),
        });
        if args.commit {
            write_down(&inbox, &inbox.in_force(), context)?;
        }
        return context.out.data(&json!({ "approved": [] }), String::new).map(|()| Outcome::Done);
    }
    let answer = Answer::Approve { until: args.until.map(|until| until.moment().to_string()) };
    context.ops.approvals().answer(&inbox, &grants, &answer, &*context.progress())?;
    let end = args.until.map_or_else(String::new, |until| format!("  until {until}"));
    context.out.data(&json!({ "approved": grants, "until": args.until }), || {
        grants.iter().map(|grant| format!("approved {}{end}\n", render::line(grant))).collect()
    })?;
    if args.commit {
        let ended: Vec<_> = grants.iter().map(|grant| (grant.clone(), args.until)).collect();
        write_down(&inbox, &ended, context)?;
    }
    let left = inbox.asked.len() - inbox.asked.iter().filter(|asked| grants.contains(&asked.grant)).count();
    if args.yes && left > 0 {
        return Ok(uncovered(left, context));
    }
    Ok(Outcome::Done)
}

/// What `--yes` leaves waiting.
fn uncovered(left: usize, context: &Context<'_>) -> Outcome {
    let verb = if left == 1 { "waits" } else { "wait" };
    context.out.say(format!("{left} {verb}: --yes does not cover that; approve it by id"));
    Outcome::Answer(Kind::Pending)
}

/// Writes the grants into the repository's own file of approvals, for its author to commit.
fn write_down(inbox: &Inbox, grants: &[(String, Option<End>)], context: &Context<'_>) -> Result<(), Failure> {
    let path = committed::FILE;
    let failed = |message: String| Failure::new(Kind::Failed, "approvals", message).at(path, None, None);
    let unreadable = |error: DiscoverError| failed(format!("cannot read what is there: {error}"));
    let folder = context.ops.documents().folder();
    let here = Owner::discover(folder).map_err(|error| failed(error.to_string()))?;
    if here != inbox.owner {
        return Err(failed(format!("{} is of another repository than this one", inbox.sandbox))
            .hint("say it in the repository that the file lies in"));
    }
    let checkout = Checkout::of(folder).map_err(unreadable)?;
    let there = checkout.read(path).map_err(unreadable)?;
    let origin = Repository::find(folder).ok().flatten().and_then(|found| found.remote("origin"));
    let name: Option<RemoteName> = origin.and_then(|url| url.parse().ok());
    let (left, grants): (Vec<_>, Vec<_>) =
        grants.iter().cloned().partition(|(grant, _)| inbox.by_default.contains(grant));
    let text = committed::with(there.as_deref(), &inbox.sandbox, &grants, name)?;
    place::write(checkout.root(), path, text.as_bytes(), true)
        .map_err(|error| failed(format!("cannot be written: {error}")))?;
    context.out.say(format!(
        "{path}: commit it with the change; `cofferdam plan --against` heeds it, and so do hosts that trust the signed ref it is merged to"
    ));
    for (grant, _) in left {
        context.out.say(format!(
            "{path}: {} is not in it: no file asks for it, so each host answers that for itself",
            render::line(&grant)
        ));
    }
    Ok(())
}

/// Texts of the grants that are to be approved: those that are named, else all that waits, else, where an end is named,
/// what is approved with another one.
fn chosen(args: &Args, inbox: &Inbox, context: &Context<'_>) -> Result<Vec<String>, Failure> {
    if !args.ids.is_empty() {
        let grants = pick::grants(&args.ids, inbox)?;
        // The beginning of an id may mean another text by now than when somebody read it.
        if context.prompt.is_interactive() {
            context.out.say(render::answered(inbox, &grants));
            agree("Approve this?", "cofferdam pending", context)?;
        }
        return Ok(grants);
    }
    if inbox.asked.is_empty() {
        return ending(args, inbox, context);
    }
    if args.yes {
        return Ok(inbox.asked.iter().filter(|asked| asked.yes).map(|asked| asked.grant.clone()).collect());
    }
    context.out.say(render::asked(&inbox.asked));
    agree("Approve all of this?", "cofferdam pending", context)?;
    Ok(inbox.asked.iter().map(|asked| asked.grant.clone()).collect())
}

/// What is approved, and shall end at another time than it does.
fn ending(args: &Args, inbox: &Inbox, context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let Some(until) = args.until else { return Ok(Vec::new()) };
    let mut other = inbox.in_force();
    other.retain(|(_, end)| *end != Some(until));
    if args.yes {
        // To end it sooner takes nobody's leave.
        other.retain(|(grant, end)| End::covers(*end, Some(until)) || inbox.by_yes.contains(grant));
    }
    let grants: Vec<String> = other.into_iter().map(|(grant, _)| grant).collect();
    if !args.yes && !grants.is_empty() {
        context.out.say(render::answered(inbox, &grants));
        let question = format!("Shall all of this count until {until}, and no longer?");
        agree(&question, "cofferdam pending --all", context)?;
    }
    Ok(grants)
}

fn agree(question: &str, list: &str, context: &Context<'_>) -> Result<(), Failure> {
    let agreed = context.prompt.confirm(question, || {
        Failure::usage("needs_ids", "there is nobody to ask")
            .hint(format!("name the ids that `{list}` shows, or pass --yes"))
    })?;
    match agreed {
        true => Ok(()),
        false => Err(Failure::new(Kind::Pending, "not_approved", "not approved; nothing was changed")),
    }
}
