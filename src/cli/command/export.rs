//! `export`: a sandbox as the `sandbox.yaml` that says all of it, whatever it was made of.

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::{Checked, Source},
        output::Format,
    },
    kit::{
        Checkout,
        export::{self, Exported},
    },
    model::desired::Sandbox,
};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox here, else definition here; default: all of both
    name: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such sandbox, or its agent's kit is not known here.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let sandboxes = match &args.name {
        Some(name) => vec![named(name, context)?],
        None => everything(context)?,
    };
    let exported = sandboxes.iter().map(|sandbox| one(sandbox, context)).collect::<Result<Vec<_>, _>>()?;
    for lost in exported.iter().flat_map(|one| &one.lost) {
        context.out.say(format!("warning: {lost}"));
    }
    let documents: Vec<_> = exported.iter().map(|one| &one.document).collect();
    match (context.out.format, documents.as_slice()) {
        // One document is itself valid input: JSON is YAML.
        (Format::Json, [only]) => context.out.data(only, String::new)?,
        (Format::Json, all) => context.out.data(&json!({ "documents": all }), String::new)?,
        _ => context.out.raw(text(&documents).as_bytes())?,
    }
    Ok(Outcome::Done)
}

fn text(documents: &[&serde_json::Value]) -> String {
    let each: Vec<String> = documents.iter().map(|document| export::yaml(document)).collect();
    each.join("---\n")
}

fn named(name: &str, context: &Context<'_>) -> Result<Sandbox, Failure> {
    match context.ops.find(name) {
        Ok(found) => Ok(found.desired),
        Err(failure) if failure.kind() == Kind::NotFound => {
            let defined = defined(context)?.into_iter().find(|sandbox| sandbox.name.as_str() == name);
            defined.ok_or(failure)
        }
        Err(failure) => Err(failure),
    }
}

/// The instances of this repository, and the definitions without one.
fn everything(context: &Context<'_>) -> Result<Vec<Sandbox>, Failure> {
    let mut all = Vec::new();
    for status in context.ops.list(true)? {
        all.push(context.ops.find(&status.name)?.desired);
    }
    for sandbox in defined(context)? {
        if all.iter().all(|other: &Sandbox| other.name != sandbox.name) {
            all.push(sandbox);
        }
    }
    if all.is_empty() {
        let message = "there is no sandbox and no definition here";
        return Err(Failure::new(Kind::NotFound, "nothing_here", message).hint("`cofferdam init` writes one"));
    }
    Ok(all)
}

/// What the files here define; nothing where there are none.
fn defined(context: &Context<'_>) -> Result<Vec<Sandbox>, Failure> {
    match context.ops.check(&Source::Search) {
        Ok(Checked { sandboxes, .. }) => Ok(sandboxes),
        Err(failure) if failure.code() == "no_file" => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn one(sandbox: &Sandbox, context: &Context<'_>) -> Result<Exported, Failure> {
    let bare = export::bare(&sandbox.agent.kit).to_string();
    let bare = context.ops.check(&Source::Text(bare))?.sandboxes.pop();
    let bare =
        bare.ok_or_else(|| Failure::new(Kind::Failed, "no_kit", "the agent's kit yields no sandbox"))?;
    let checkout = Checkout::of(context.ops.folder())
        .map_err(|error| Failure::from_error(Kind::Failed, "no_folder", &error))?;
    Ok(export::export(sandbox, &bare, checkout.root()))
}
