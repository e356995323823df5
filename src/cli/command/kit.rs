//! `kit`: checks, imports and packs kits.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::{
    context::Context,
    failure::{CommandResult, Outcome},
    output::visible,
};

/// Arguments of `kit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a kit: ours (kit.yaml) or one of Docker Sandboxes (spec.yaml); changes nothing
    Check(PathArg),
    /// Write a kit of Docker Sandboxes as one of ours
    Import(ToArgs),
    /// Put a kit into an archive that is the same bytes wherever it is made
    Pack(ToArgs),
}

#[derive(Debug, clap::Args)]
struct PathArg {
    /// The kit's folder, its file, an archive, or git+https://HOST/PATH#ref=REF&dir=DIR
    path: PathBuf,
}

#[derive(Debug, clap::Args)]
struct ToArgs {
    /// The kit's folder, or its file (import: or an archive)
    path: PathBuf,
    /// Where to; default: kits/NAME for import, NAME.tar for pack
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Every finding, with its line; a target that is there already.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    match &args.command {
        Command::Check(args) => {
            let kit = context.ops.kits().check_kit(&args.path)?;
            for fetched in &kit.fetched {
                context.out.say(visible(fetched));
            }
            let value = json!({
                "valid": true, "kind": kit.kind, "name": kit.name, "format": kit.format, "reports": kit.reports,
            });
            context.out.data(&value, || {
                let reports = kit.reports.iter().map(|report| format!("{}\n", visible(report)));
                let head = format!("ok: {} {} ({})\n", kit.kind.to_lowercase(), kit.name, kit.format);
                std::iter::once(head).chain(reports).collect()
            })?;
        }
        Command::Import(args) => {
            let written = context.ops.kits().import_kit(&args.path, args.to.as_deref())?;
            for report in &written.reports {
                context.out.say(visible(report));
            }
            context.out.data(&json!(written), || files(below(&written.path, context), &written.files))?;
        }
        Command::Pack(args) => {
            let packed = context.ops.kits().pack_kit(&args.path, args.to.as_deref())?;
            context.out.data(&json!(packed), || {
                let digest = packed.digest.as_deref().unwrap_or_default();
                format!("{} sha256:{digest}\n", visible(&packed.path.display().to_string()))
            })?;
        }
    }
    Ok(Outcome::Done)
}

/// A path as one would type it here.
fn below<'a>(path: &'a std::path::Path, context: &Context<'_>) -> &'a std::path::Path {
    path.strip_prefix(context.ops.documents().folder()).unwrap_or(path)
}

fn files(folder: &std::path::Path, files: &[String]) -> String {
    let line = |file: &String| format!("{}\n", visible(&folder.join(file).display().to_string()));
    files.iter().map(line).collect()
}
