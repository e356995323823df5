//! `template`: builds, lists and removes what root file systems are made of.

use serde_json::json;

use crate::{
    cli::{
        args::FileArg,
        context::Context,
        failure::{CommandResult, Failure, Outcome},
        ops::KeptTemplate,
        output::Table,
    },
    model::unit::Bytes,
};

/// Digits of a key that a person is shown.
const KEY_SHOWN: usize = 12;
/// Characters of a template's packages or commands that a line has room for.
const HOLDS_SHOWN: usize = 48;

/// Arguments of `template`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Build the templates that files need; with nothing to do it takes a moment
    Build(BuildArgs),
    /// List what is kept of templates
    Ls,
    /// Remove templates that no sandbox stands on
    Rm(RmArgs),
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    #[command(flatten)]
    files: FileArg,
    /// Only this definition, or else this sandbox
    name: Option<String>,
    /// Agree to what the steps may reach without a question
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct RmArgs {
    /// Keys as `template ls` shows them, or their first digits
    #[arg(required_unless_present = "unused")]
    keys: Vec<String>,
    /// Everything that no sandbox of this user stands on, but the base
    #[arg(long)]
    unused: bool,
}

/// Runs the command.
///
/// # Errors
/// As in [`Operations`](crate::cli::ops::Operations).
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    match &args.verb {
        Verb::Build(args) => build(args, context),
        Verb::Ls => {
            let kept = context.ops.templates().kept()?;
            show(&kept, "templates", context)
        }
        Verb::Rm(args) => {
            let removed = context.ops.templates().remove_templates(
                &args.keys,
                args.unused,
                context.progress().as_ref(),
            )?;
            show(&removed, "removed", context)
        }
    }
}

fn build(args: &BuildArgs, context: &Context<'_>) -> CommandResult {
    let built = context.ops.templates().build_templates(
        &args.files.source(),
        args.name.as_deref(),
        args.yes,
        context.progress().as_ref(),
    )?;
    if built.is_empty() {
        return Err(Failure::usage("no_sandbox", "the files define no sandbox"));
    }
    context.out.data(&json!({ "templates": built }), || {
        let mut table = Table::new(&["SANDBOX", "IMAGE", "STEPS"]);
        for one in &built {
            let layers: Vec<&str> = one.layers.iter().map(|key| short(key)).collect();
            table.row([one.sandbox.as_str(), short(&one.image), &layers.join(" ")]);
        }
        table.render()
    })?;
    Ok(Outcome::Done)
}

fn show(kept: &[KeptTemplate], title: &str, context: &Context<'_>) -> CommandResult {
    context.out.data(&json!({ title: kept }), || {
        let mut table = Table::new(&["KEY", "KIND", "SIZE", "CREATED", "USED BY", "HOLDS"]);
        for one in kept {
            let created = one.created.as_deref().unwrap_or_default();
            let (size, used) = (Bytes::mib(one.bytes.div_ceil(1 << 20)).to_string(), one.used_by.join(","));
            table.row([short(&one.key), one.kind, &size, created, &used, &first_words(&one.holds)]);
        }
        table.render()
    })?;
    Ok(Outcome::Done)
}

fn short(key: &str) -> &str {
    key.get(..KEY_SHOWN).unwrap_or(key)
}

/// The beginning of what is held, on one line.
fn first_words(holds: &[String]) -> String {
    let text = holds.join(" ");
    let line = text.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(HOLDS_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
