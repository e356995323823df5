//! What the first word of `run` means: a sandbox here, a definition here, an agent's kit, in this order.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Args;
use crate::{
    cli::{
        command::{
            near_agent,
            task::{self, Asked},
        },
        context::Context,
        failure::{Failure, Kind},
        ops::{Found, Source},
    },
    kit::Checkout,
};

/// What the first word means.
pub(super) enum Looked {
    /// A sandbox; `first`: of an agent's kit, without a definition.
    There {
        sandbox: Box<Found>,
        first: bool,
    },
    Missing(Missing),
}

/// A sandbox that is to be made.
pub(super) struct Missing {
    pub(super) name: String,
    /// The document that the command line stands for; none where a file has it.
    pub(super) document: Option<Value>,
}

/// Looks it up, and refuses what can be refused before anything is made.
///
/// # Errors
/// Arguments that it does not take, a task that its agent has no command for, a word that names nothing.
pub(super) fn look(args: &Args, asked: &Asked, context: &Context<'_>) -> Result<Looked, Failure> {
    let named = args.launch.name.as_ref().map(ToString::to_string);
    let reference = named.as_deref().unwrap_or(&args.what);
    match context.ops.machines().find(reference) {
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
            return Ok(Looked::There { sandbox: Box::new(sandbox), first: false });
        }
        Err(failure) if failure.kind() != Kind::NotFound => return Err(failure),
        Err(_) => {}
    }
    if context.ops.documents().is_defined(&args.what) {
        let flags = args.launch.shapes_a_new_one() || args.launch.name.is_some();
        if flags || !args.paths.is_empty() || (args.detach && args.launch.has_session_flags()) {
            let message =
                format!("{} is defined here, and these arguments would change its definition", args.what);
            return Err(Failure::usage("defined_already", message).hint(format!(
                "write them into its file, or make another: cofferdam create AGENT . --name {}-2",
                args.what
            )));
        }
        refuse_task(&Source::Search, &args.what, asked, context)?;
        context.out.say(format!("{} is defined here", args.what));
        return Ok(Looked::Missing(Missing { name: args.what.clone(), document: None }));
    }
    let what = kit(&args.what, context)?;
    context.out.say(format!("{} is {what}", args.what));
    of_kit(args, asked, context)
}

fn of_kit(args: &Args, asked: &Asked, context: &Context<'_>) -> Result<Looked, Failure> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths[..] };
    let document =
        args.launch.document_from(&args.what, paths, context.ops.documents().folder(), &context.out)?;
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name != args.what
        && let Ok(sandbox) = context.ops.machines().find(&name)
        && !args.launch.shapes_a_new_one()
    {
        context.out.say(format!("{name} is there already"));
        return Ok(Looked::There { sandbox: Box::new(sandbox), first: true });
    }
    // No command line has a task in its document.
    if *asked != Asked::Own(None) {
        refuse_task(&Source::CommandLine(Box::new(document.clone())), &name, asked, context)?;
    }
    Ok(Looked::Missing(Missing { name, document: Some(document) }))
}

/// Refuses a task that the agent has no command for, before anything is made. What else is wrong is told by whoever makes it.
fn refuse_task(source: &Source, name: &str, asked: &Asked, context: &Context<'_>) -> Result<(), Failure> {
    if *asked == Asked::Nothing {
        return Ok(());
    }
    let Ok(checked) = context.ops.documents().check(source) else { return Ok(()) };
    let Some(meant) = checked.sandboxes.iter().find(|sandbox| sandbox.name.as_str() == name) else {
        return Ok(());
    };
    asked.of(meant)?.map_or(Ok(()), |_| task::command(meant, "").map(drop))
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
    match (context.ops.documents().has_agent_kit(word), path) {
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
            let near = near_agent(word, context).unwrap_or_default();
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
    let folder = context.ops.documents().folder();
    let Ok(checkout) = Checkout::of(folder) else { return false };
    let below = folder.strip_prefix(checkout.root()).unwrap_or(Path::new(""));
    below.ancestors().any(|above| {
        let kit = |kits: &str| above.join(kits).join(word).join("kit.yaml");
        ["kits", ".cofferdam/kits"].iter().any(|kits| checkout.has(&kit(kits).to_string_lossy()))
    })
}
