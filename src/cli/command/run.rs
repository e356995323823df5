//! `run`: makes what is missing, starts what is stopped, attaches.

mod first;
mod last;

use std::path::{Path, PathBuf};

use crate::{
    cli::{
        command::{attach, launch::LaunchArgs, task},
        context::{Carried, Context},
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::{Found, Source, Wish},
    },
    kit::Checkout,
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
    let task = args.task.task()?;
    if task.is_some() && args.detach {
        return Err(Failure::usage("task_detached", "--task waits for its end, and --detach does not wait"));
    }
    if args.detach && !args.args.is_empty() {
        let message = "--detach does not begin the agent, so it has no arguments";
        return Err(Failure::usage("arguments_detached", message)
            .hint("attach with them: cofferdam run NAME -- ARGS"));
    }
    let since = jiff::Timestamp::now();
    let Prepared { sandbox, made, first } = prepare(args, context)?;
    // Before anything is started: the agent may have no command for it.
    let task = task.map(|task| task.wish(&sandbox, &args.args)).transpose()?;
    context.ready(&sandbox)?;
    if args.detach {
        let name = sandbox.desired.name.as_str();
        context.out.data(&serde_json::json!({ "name": name, "id": sandbox.id }), || format!("{name}\n"))?;
        return Ok(Outcome::Done);
    }
    let ended = session(args, task, &sandbox, context);
    if first && !args.rm {
        last::tell(&sandbox, since, context);
    }
    if args.rm && made {
        context.ops.remove(&sandbox, false)?;
    } else if args.rm {
        context.out.say(format!("{} was there before and stays", sandbox.desired.name));
    }
    ended
}

fn session(args: &Args, task: Option<attach::Wish>, sandbox: &Found, context: &Context<'_>) -> CommandResult {
    let env = args.launch.env.variables(&|name| std::env::var(name).ok())?;
    let working_dir = args.launch.workdir.clone();
    if let Some(task) = task {
        return task::run(sandbox, attach::Wish { env, working_dir, ..task }, context);
    }
    let agent = &sandbox.desired.agent;
    let mut wish = attach::Wish::interactive(command(&agent.command, &args.args), env);
    wish.tty = agent.tty.unwrap_or(wish.tty);
    context.ops.session(sandbox, attach::Wish { working_dir, ..wish })
}

/// The sandbox to attach to.
struct Prepared {
    sandbox: Found,
    /// Made by this command.
    made: bool,
    /// Of an agent's kit, without a definition.
    first: bool,
}

fn prepare(args: &Args, context: &Context<'_>) -> Result<Prepared, Failure> {
    let named = args.launch.name.as_ref().map(ToString::to_string);
    let reference = named.as_deref().unwrap_or(&args.what);
    match context.ops.find(reference) {
        Ok(sandbox) => {
            // Without a session nothing would have the variables.
            let shapes = args.launch.shapes_a_new_one() || (args.detach && args.launch.has_session_flags());
            if !args.paths.is_empty() || shapes {
                let message =
                    format!("{reference} exists already, and these arguments are for a new sandbox");
                return Err(Failure::usage("exists_already", message)
                    .hint(format!("`cofferdam run {reference}` attaches; --name makes another one")));
            }
            context.out.say(format!("{reference} is a sandbox"));
            return Ok(Prepared { sandbox, made: false, first: false });
        }
        Err(failure) if failure.kind() != Kind::NotFound => return Err(failure),
        Err(_) => {}
    }
    if context.ops.is_defined(&args.what) {
        let flags = args.launch.shapes_a_new_one() || args.launch.name.is_some();
        if flags || !args.paths.is_empty() || (args.detach && args.launch.has_session_flags()) {
            let message =
                format!("{} is defined here, and these arguments would change its definition", args.what);
            return Err(Failure::usage("defined_already", message).hint(format!(
                "write them into its file, or make another: cofferdam create AGENT . --name {}-2",
                args.what
            )));
        }
        refuse_task(&Source::Search, &args.what, args, context)?;
        context.out.say(format!("{} is defined here", args.what));
        let only = Some(args.what.clone());
        let wish = Wish { yes: args.launch.yes, only, ..Wish::default() };
        let carried = context.carry_out(&Source::Search, &wish)?;
        let sandbox = made(&args.what, &carried, context)?;
        return Ok(Prepared { sandbox, made: true, first: false });
    }
    let what = kit(&args.what, context)?;
    context.out.say(format!("{} is {what}", args.what));
    of_kit(args, context)
}

/// What sort of kit the word names.
fn kit(word: &str, context: &Context<'_>) -> Result<&'static str, Failure> {
    if word.starts_with("git+") {
        // Whatever is wrong with it is told with the sandbox that it would make.
        return Ok("an agent's kit in git");
    }
    if word.contains("://") {
        return Err(Failure::not_available("an agent's kit at such an address")
            .hint("git+https://HOST/PATH#ref=REF&dir=DIR names one in git"));
    }
    let path = word.contains('/') || word.starts_with('.') || crate::kit::is_archive(Path::new(word));
    match (context.ops.has_agent_kit(word), path) {
        (true, false) if crate::kit::has_agent(word) && lies_here(word, context) => {
            Ok("the repository's own agent kit, not the built-in one")
        }
        (true, false) => Ok("an agent kit"),
        (true, true) => Ok("the path of an agent kit"),
        (false, true) => Err(Failure::new(
            Kind::NotFound,
            "no_kit_there",
            format!("there is no agent kit that can be used at `{word}`"),
        )
        .hint("a kit's path begins at this repository's root and leads to an archive or a folder with a kit.yaml")),
        (false, false) => {
            let message = format!("`{word}` is no sandbox, no definition here, and no agent kit");
            let near = super::near_agent(word, context).unwrap_or_default();
            let near = match near.is_empty() || near.ends_with('?') {
                true => format!("{near} "),
                false => format!("{near}; "),
            };
            Err(Failure::new(Kind::NotFound, "nothing_of_this_name", message).hint(format!(
                "{}`cofferdam ls` lists sandboxes; `cofferdam run shell` needs no definition",
                near.trim_start()
            )))
        }
    }
}

/// Whether a kit of a built-in one's name lies in this repository: the nearer one counts.
fn lies_here(word: &str, context: &Context<'_>) -> bool {
    let folder = context.ops.folder();
    let Ok(checkout) = Checkout::of(folder) else { return false };
    let below = folder.strip_prefix(checkout.root()).unwrap_or(Path::new(""));
    below.ancestors().any(|above| {
        let kit = |kits: &str| above.join(kits).join(word).join("kit.yaml");
        ["kits", ".cofferdam/kits"].iter().any(|kits| checkout.has(&kit(kits).to_string_lossy()))
    })
}

fn of_kit(args: &Args, context: &Context<'_>) -> Result<Prepared, Failure> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths[..] };
    let mut document = args.launch.document_from(&args.what, paths, context.ops.folder())?;
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name != args.what
        && let Ok(sandbox) = context.ops.find(&name)
        && !args.launch.shapes_a_new_one()
    {
        context.out.say(format!("{name} is there already"));
        return Ok(Prepared { sandbox, made: false, first: true });
    }
    refuse_task(&Source::CommandLine(Box::new(document.clone())), &name, args, context)?;
    first::ask(&args.what, &args.launch, &mut document, context)?;
    // What our own kits need is typed with their name and not asked for; what is asked comes from a file, and is for
    // the person to read first, whatever its kit is called.
    let wish = Wish { yes: args.launch.yes, ..Wish::default() };
    let carried = context.carry_out(&Source::CommandLine(Box::new(document)), &wish)?;
    Ok(Prepared { sandbox: made(&name, &carried, context)?, made: true, first: true })
}

/// Refuses a task that the agent has no command for, before anything is made. What else is wrong is told by whoever makes it.
fn refuse_task(source: &Source, name: &str, args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let (Some(_), Ok(checked)) = (args.task.task()?, context.ops.check(source)) else { return Ok(()) };
    let meant = checked.sandboxes.iter().find(|sandbox| sandbox.name.as_str() == name);
    meant.map_or(Ok(()), |sandbox| task::command(sandbox, "").map(drop))
}

/// The sandbox that was to be made; where all of it waits for an approval, that.
fn made(name: &str, carried: &Carried, context: &Context<'_>) -> Result<Found, Failure> {
    match context.ops.find(name) {
        Err(failure) if failure.kind() == Kind::NotFound && !carried.proposal.asked.is_empty() => {
            let message = format!("{name} waits for an approval, and does not start without it");
            Err(Failure::new(Kind::Pending, "approval_pending", message).hint(format!(
                "`cofferdam pending` shows what waits, `cofferdam approve {name}` approves it"
            )))
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
