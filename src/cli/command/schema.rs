//! `schema`: the JSON Schemas of the files, and what a key means.

mod explain;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{
    context::Context,
    failure::{CommandResult, Failure, Kind, Outcome},
    place,
};

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Write them into this folder; default: list them, as JSON with their content
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Tell what a key is: `schema explain sandbox.spec.network.rules`
    Explain(explain::Args),
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be written, or there is no such key.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    if let Some(Sub::Explain(args)) = &args.command {
        return explain::run(args, context);
    }
    let schemas = context.ops.documents().schemas();
    let names: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
    let list = || names.iter().map(|name| format!("{name}\n")).collect::<String>();
    let Some(folder) = &args.write else {
        let parsed = schemas.iter().map(|(name, text)| Ok(((*name).to_owned(), serde_json::from_str(text)?)));
        let parsed: Result<serde_json::Map<String, Value>, serde_json::Error> = parsed.collect();
        let parsed = parsed.map_err(|error| Failure::from_error(Kind::Failed, "schema", &error))?;
        context.out.data(&json!({ "schemas": parsed }), list)?;
        return Ok(Outcome::Done);
    };
    write(context.ops.documents().folder(), folder, &schemas).map_err(|error| {
        Failure::new(Kind::Failed, "not_written", format!("cannot write the schemas to {}", folder.display()))
            .caused_by(&error)
    })?;
    context.out.data(&json!({ "written": names }), list)?;
    Ok(Outcome::Done)
}

fn write(here: &Path, folder: &Path, schemas: &[(&'static str, String)]) -> std::io::Result<()> {
    // A folder that was named is the operator's to make, wherever it is.
    if place::is_elsewhere(here, folder) {
        std::fs::create_dir_all(here.join(folder))?;
    }
    schemas.iter().try_for_each(|(name, text)| place::write_named(here, &folder.join(name), text.as_bytes()))
}
