//! `run`: makes what is missing, starts what is stopped, attaches.

mod first;
mod last;
mod leftover;
mod look;

use std::path::PathBuf;

use self::{
    leftover::Leftover,
    look::{Looked, Missing, look},
};
use crate::{
    cli::{
        command::{
            attach,
            launch::LaunchArgs,
            task::{self, Asked},
        },
        context::{Carried, Context},
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::{Found, Source, Wish},
    },
    plan::{Planned, facts::Rejected, grant::Waits},
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance here, definition here, or agent kit: whichever it is first
    pub what: String,
    /// Workspace and further folders of a new sandbox, each with `:ro` to keep it from writing; default: this folder
    pub paths: Vec<PathBuf>,
    /// Start it, print its name, and do not attach
    #[arg(short, long)]
    pub detach: bool,
    /// Remove what this command made when it ends
    #[arg(long, conflicts_with = "detach")]
    pub rm: bool,
    #[command(flatten)]
    pub task: task::TaskArgs,
    #[command(flatten)]
    pub launch: LaunchArgs,
    /// Arguments of the agent: appended when the first begins with `-`, else they replace its command
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// What `apply` ends with, and `exec`.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    args.launch.refuse_later()?;
    let asked = args.task.asked(args.detach || !args.args.is_empty())?;
    if matches!(asked, Asked::Task(_)) && args.detach {
        return Err(Failure::usage("task_detached", "--task waits for its end, and --detach does not wait"));
    }
    if args.detach && !args.args.is_empty() {
        let message = "--detach does not begin the agent, so it has no arguments";
        return Err(Failure::usage("arguments_detached", message)
            .hint("attach with them: cofferdam run NAME -- ARGS"));
    }
    let run = Run { args, asked, since: jiff::Timestamp::now(), context };
    match look(args, &run.asked, context)? {
        Looked::There { sandbox, first } => {
            if args.rm {
                context.out.say(format!("{} was there before and stays", sandbox.desired.name));
            }
            run.attach(&sandbox, first, None)
        }
        Looked::Missing(missing) if args.rm => {
            let leftover = Leftover::watch(&missing.name)?;
            let ended = run.make(missing).and_then(|sandbox| run.attach(&sandbox, false, Some(&leftover)));
            removed(ended, &leftover, context)
        }
        Looked::Missing(missing) => {
            let first = missing.document.is_some();
            run.attach(&run.make(missing)?, first, None)
        }
    }
}

/// One `run`, from its first word to the end of its session.
struct Run<'a> {
    args: &'a Args,
    asked: Asked,
    since: jiff::Timestamp,
    context: &'a Context<'a>,
}

impl Run<'_> {
    /// Begins what was asked for in a sandbox that is there. `first`: it is of an agent's kit, without a definition;
    /// `leftover`: signals remove it until the session begins.
    fn attach(&self, sandbox: &Found, first: bool, leftover: Option<&Leftover>) -> CommandResult {
        let Self { args, asked, context, .. } = self;
        let own = &sandbox.desired.task;
        // Before anything is started: the agent may have no command for it.
        let task = asked.of(&sandbox.desired)?;
        if let (Asked::Own(_), Some(task), Some(own)) = (asked, &task, own) {
            context.out.say(task.told(sandbox.desired.name.as_str(), own.file.as_deref()));
            tell_of_change(sandbox, context);
        }
        let task = task.map(|task| task.wish(sandbox, &args.args)).transpose()?;
        context.ready(sandbox)?;
        if args.detach {
            let name = sandbox.desired.name.as_str();
            if own.is_some() {
                context.out.say(format!("its task is not begun: `cofferdam run {name}` carries it out"));
            }
            context
                .out
                .data(&serde_json::json!({ "name": name, "id": sandbox.id }), || format!("{name}\n"))?;
            return Ok(Outcome::Done);
        }
        if let Some(leftover) = leftover {
            leftover.rest();
        }
        let ended = session(args, task, sandbox, context);
        let after = match leftover {
            Some(_) => last::After::Removed,
            None if first && !args.rm => last::After::New,
            None => last::After::Known,
        };
        last::tell(sandbox, self.since, after, context);
        ended
    }

    /// Makes it, and starts it.
    fn make(&self, missing: Missing) -> Result<Found, Failure> {
        let Self { args, context, .. } = self;
        let Missing { name, document } = missing;
        let carried = match document {
            None => {
                let wish = Wish { yes: args.launch.yes, only: Some(name.clone()), ..Wish::default() };
                context.carry_out(&Source::Search, &wish)?
            }
            Some(mut document) => {
                first::ask(&args.what, &args.launch, &mut document, context)?;
                // What our own kits need is typed with their name and not asked for; what is asked comes from a file, and is
                // for the person to read first, whatever its kit is called.
                let wish = Wish { yes: args.launch.yes, ..Wish::default() };
                context.carry_out(&Source::CommandLine(Box::new(document)), &wish)?
            }
        };
        made(&name, &carried, context)
    }
}

/// Says that the file has another task by now than the one that was applied.
fn tell_of_change(sandbox: &Found, context: &Context<'_>) {
    let applied = &sandbox.desired;
    let Ok(checked) = context.ops.documents().check(&Source::Search) else { return };
    let mut defined = checked.sandboxes.iter();
    let now = defined.find(|it| it.name == applied.name && it.provenance.file == applied.provenance.file);
    if now.is_some_and(|now| now.task != applied.task) {
        context.out.say("its file has another task by now; `cofferdam apply` takes that over");
    }
}

/// How a session ended whose sandbox is removed after it.
fn removed(ended: CommandResult, leftover: &Leftover, context: &Context<'_>) -> CommandResult {
    leftover.rest();
    let ended = ended.map_err(|failure| match failure.code() {
        "setup_failed" => {
            failure.hint("it is removed, as --rm says; without --rm it stays up, and one can look inside")
        }
        _ => failure,
    });
    let gone = match context.ops.machines().find(leftover.name()) {
        Ok(sandbox) => context.ops.machines().remove(&sandbox, ended.is_err()),
        // It was not made.
        Err(failure) if failure.kind() == Kind::NotFound => Ok(()),
        Err(failure) => Err(failure),
    };
    match (ended, gone) {
        (ended, Ok(())) => ended,
        (Ok(Outcome::Done | Outcome::Passed(0)), Err(failure)) => Err(failure),
        (ended, Err(failure)) => {
            let name = leftover.name();
            context.out.say(format!("warning: {name} is not removed: {}", failure.object().message));
            ended
        }
    }
}

fn session(args: &Args, task: Option<attach::Wish>, sandbox: &Found, context: &Context<'_>) -> CommandResult {
    let env = args.launch.env.variables(&|name| std::env::var(name).ok(), &context.out)?;
    let working_dir = args.launch.workdir.clone();
    if let Some(task) = task {
        return task::run(sandbox, attach::Wish { env, working_dir, ..task }, context);
    }
    let agent = &sandbox.desired.agent;
    let mut wish = attach::Wish::interactive(command(&agent.command, &args.args), env);
    wish.tty = agent.tty.unwrap_or(wish.tty);
    context.ops.machines().session(sandbox, attach::Wish { working_dir, ..wish })
}

/// The sandbox that was to be made; where all of it waits for an approval, or was refused, that.
fn made(name: &str, carried: &Carried, context: &Context<'_>) -> Result<Found, Failure> {
    let refused = |planned: &Planned| {
        let refused = planned.rejected.iter().find(|it| Waits::of(&it.asked.grant).is_some())?;
        (planned.name.as_str() == name).then(|| refused.clone())
    };
    let refused = carried.proposal.plan.iter().flat_map(|plan| &plan.steps).find_map(refused);
    match (context.ops.machines().find(name), refused) {
        (Err(failure), Some(Rejected { asked, answer })) if failure.kind() == Kind::NotFound => {
            let message = format!("{name} does not start without {}, which was rejected", asked.grant);
            Err(Failure::new(Kind::Failed, "rejected", message)
                .hint(format!("`cofferdam approve {name} {}` takes that back", answer.id)))
        }
        (Err(failure), None) if failure.kind() == Kind::NotFound && !carried.proposal.asked.is_empty() => {
            let message = format!("{name} waits for an approval, and does not start without it");
            Err(Failure::new(Kind::Pending, "approval_pending", message).hint(format!(
                "`cofferdam pending` shows what waits, `cofferdam approve {name}` approves it"
            )))
        }
        (other, _) => other,
    }
}

fn command(own: &[String], given: &[String]) -> Vec<String> {
    match given.first() {
        None => own.to_vec(),
        Some(first) if first.starts_with('-') => [own, given].concat(),
        Some(_) => given.to_vec(),
    }
}

#[test]
fn arguments_append_or_replace() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let own = words("bash -l");
    assert_eq!(command(&own, &[]), own);
    assert_eq!(command(&own, &words("-c true")), words("bash -l -c true"));
    assert_eq!(command(&own, &words("id -u")), words("id -u"));
}
