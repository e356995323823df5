//! `run`: makes what is missing, starts what is stopped, attaches.

use std::path::PathBuf;

use crate::cli::{
    command::{attach, launch::LaunchArgs, task},
    context::{Carried, Context},
    failure::{CommandResult, Failure, Kind, Outcome},
    ops::{Found, Source, Wish},
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
    let task = args.task.task()?;
    if task.is_some() && args.detach {
        return Err(Failure::usage("task_detached", "--task waits for its end, and --detach does not wait"));
    }
    let sandbox = prepare(args, context)?;
    // Before anything is started: the agent may have no command for it.
    let task = task.map(|task| task.wish(&sandbox, &args.args)).transpose()?;
    context.ready(&sandbox)?;
    if args.detach {
        let name = sandbox.desired.name.as_str();
        context.out.data(&serde_json::json!({ "name": name, "id": sandbox.id }), || format!("{name}\n"))?;
        return Ok(Outcome::Done);
    }
    let env = args.launch.env.variables(&|name| std::env::var(name).ok())?;
    let working_dir = args.launch.workdir.clone();
    if let Some(task) = task {
        return task::run(&sandbox, attach::Wish { env, working_dir, ..task }, context);
    }
    let agent = &sandbox.desired.agent;
    let mut wish = attach::Wish::interactive(command(&agent.command, &args.args), env);
    wish.tty = agent.tty.unwrap_or(wish.tty);
    attach::run(&sandbox, attach::Wish { working_dir, ..wish })
}

fn prepare(args: &Args, context: &Context<'_>) -> Result<Found, Failure> {
    let named = args.launch.name.as_ref().map(ToString::to_string);
    let reference = named.as_deref().unwrap_or(&args.what);
    match context.ops.find(reference) {
        Ok(found) => {
            if !args.paths.is_empty() || args.launch.shapes_a_new_one() {
                let message =
                    format!("{reference} exists already, and these arguments are for a new sandbox");
                return Err(Failure::usage("exists_already", message)
                    .hint(format!("`cofferdam run {reference}` attaches; --name makes another one")));
            }
            context.out.say(format!("{reference} is a sandbox"));
            return Ok(found);
        }
        Err(failure) if failure.kind() != Kind::NotFound => return Err(failure),
        Err(_) => {}
    }
    if context.ops.is_defined(&args.what) {
        context.out.say(format!("{} is defined here", args.what));
        let only = Some(args.what.clone());
        let wish = Wish { yes: args.launch.yes, wait: true, only, ..Wish::default() };
        let carried = context.carry_out(&Source::Search, &wish)?;
        return made(&args.what, &carried, context);
    }
    if !context.ops.has_agent_kit(&args.what) {
        let message = format!("`{}` is no sandbox, no definition here, and no agent kit", args.what);
        return Err(Failure::new(Kind::NotFound, "nothing_of_this_name", message)
            .hint("`cofferdam ls` lists sandboxes; `cofferdam run shell` needs no definition"));
    }
    context.out.say(format!("{} is an agent kit", args.what));
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths[..] };
    let document = args.launch.document(&args.what, paths)?;
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let wish = Wish { yes: args.launch.yes, wait: true, ..Wish::default() };
    let carried = context.carry_out(&Source::CommandLine(Box::new(document)), &wish)?;
    made(&name, &carried, context)
}

/// The sandbox that was to be made; where all of it waits for an approval, that.
fn made(name: &str, carried: &Carried, context: &Context<'_>) -> Result<Found, Failure> {
    match context.ops.find(name) {
        Err(failure) if failure.kind() == Kind::NotFound && !carried.proposal.asked.is_empty() => {
            let message = format!("{name} waits for an approval, and does not start without it");
            Err(Failure::new(Kind::Pending, "approval_pending", message)
                .hint(format!("cofferdam approve {name}")))
        }
        other => other,
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
