//! `rm`: removes sandboxes with their disks.

use serde_json::json;

use crate::cli::{
    context::Context,
    failure::{CommandResult, Kind, Outcome},
};

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandboxes
    #[arg(required = true)]
    names: Vec<String>,
    /// Without a question, also while something runs in it
    #[arg(short, long, visible_alias = "yes")]
    force: bool,
    /// What ended the `run --rm` that this goes on for: its sandbox may not have been made, and its end is the exit code
    #[arg(long, hide = true)]
    after_signal: Option<u8>,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; nobody to ask; a machine that does not stop.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let Some(signal) = args.after_signal else { return remove(args, context) };
    for name in &args.names {
        match context.ops.machines().find(name) {
            Ok(sandbox) => {
                context.ops.machines().remove(&sandbox, true)?;
                context.out.say(format!("removed {name}"));
            }
            Err(failure) if failure.kind() == Kind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Outcome::Passed(signal.saturating_add(128)))
}

fn remove(args: &Args, context: &Context<'_>) -> CommandResult {
    // All names first: a wrong one must not be found after half of them are gone.
    let (damaged, names): (Vec<String>, Vec<String>) =
        args.names.iter().cloned().partition(|name| context.ops.machines().is_damaged(name));
    let found = super::for_each(&names, |name| context.ops.machines().find(name))?;
    if !args.force {
        let names = args.names.join(", ");
        super::confirm_loss(context, &format!("Remove {names} with everything on their disks?"), "--force")?;
    }
    let mut removed = Vec::new();
    for sandbox in &found {
        context.ops.machines().remove(sandbox, args.force)?;
        removed.push(sandbox.desired.name.to_string());
    }
    for id in damaged {
        context.ops.machines().end_damaged(&id, true)?;
        removed.push(id);
    }
    context.out.data(&json!({ "removed": removed }), || removed.join("\n") + "\n")?;
    Ok(Outcome::Done)
}
