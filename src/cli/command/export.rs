//! `export`: a sandbox as the `sandbox.yaml` that says all of it, whatever it was made of.

mod explain;

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::{Checked, Source},
        output::{Format, visible},
    },
    kit::{
        Checkout,
        export::{self, Exported, Folder},
    },
    model::desired::{KitUse, Sandbox},
};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox here, else definition here; default: all of both
    name: Option<String>,
    /// Show each value beside the file and line, the kit or the command line that says it
    #[arg(long)]
    explain: bool,
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
    if args.explain {
        context.out.data(&explain::json(&sandboxes), || explain::text(&sandboxes))?;
        return Ok(Outcome::Done);
    }
    let exported = sandboxes.iter().map(|sandbox| one(sandbox, context)).collect::<Result<Vec<_>, _>>()?;
    for one in &exported {
        one.lost.iter().for_each(|lost| context.out.say(format!("warning: {lost}")));
        one.notes.iter().for_each(|note| context.out.say(format!("note: {note}")));
    }
    let documents: Vec<_> = exported.iter().map(|one| &one.document).collect();
    match (context.out.format, documents.as_slice()) {
        // One document is itself valid input: JSON is YAML.
        (Format::Json, [only]) => context.out.data(only, String::new)?,
        (Format::Json, all) => context.out.data(&json!({ "documents": all }), String::new)?,
        _ => context.out.raw(text(&exported).as_bytes())?,
    }
    Ok(Outcome::Done)
}

/// Each document below what it was made of, as comments.
fn text(exported: &[Exported]) -> String {
    let one = |one: &Exported| {
        let from = one.from.iter().map(|line| format!("# {}\n", visible(line)));
        from.collect::<String>() + &export::yaml(&one.document)
    };
    exported.iter().map(one).collect::<Vec<_>>().join("---\n")
}

fn named(name: &str, context: &Context<'_>) -> Result<Sandbox, Failure> {
    match context.ops.machines().find(name) {
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
    for status in context.ops.machines().list(true)? {
        all.push(context.ops.machines().find(&status.name)?.desired);
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
    match context.ops.documents().check(&Source::Search) {
        Ok(Checked { sandboxes, .. }) => Ok(sandboxes),
        Err(failure) if failure.code() == "no_file" => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// The kits that are something else here and now than what the sandbox was made of: they have changed, or others of
/// their names lie nearer to this folder.
fn other_kits(sandbox: &Sandbox, here: &Sandbox) -> Vec<String> {
    let other =
        |used: &&KitUse| here.kits.iter().any(|here| here.name == used.name && here.digest != used.digest);
    let note = |used: &KitUse| {
        format!("the kit {} is another one here by now than {} was made of", used.name, sandbox.name)
    };
    sandbox.kits.iter().filter(other).map(note).collect()
}

fn one(sandbox: &Sandbox, context: &Context<'_>) -> Result<Exported, Failure> {
    let folder = context.ops.documents().folder();
    let checkout =
        Checkout::of(folder).map_err(|error| Failure::from_error(Kind::Failed, "no_folder", &error))?;
    let at = Folder { root: checkout.root(), folder };
    let resolved = |mixins: bool| {
        let frame = export::frame(sandbox, mixins, at).to_string();
        let failure = || Failure::new(Kind::Failed, "no_kit", "the agent's kit yields no sandbox");
        context.ops.documents().check(&Source::Text(frame))?.sandboxes.pop().ok_or_else(failure)
    };
    let (bare, apart) = match resolved(true) {
        Ok(bare) => (bare, None),
        Err(_) => {
            let hint = format!(
                "the agent's kit `{}` must be known here by its name or path: put it into a folder kits/NAME, and \
                 run this in the repository",
                sandbox.agent.kit
            );
            (resolved(false).map_err(|failure| failure.hint(hint))?, Some("cannot be used by themselves"))
        }
    };
    let mut exported = export::export(sandbox, &bare, at);
    exported.notes.extend(other_kits(sandbox, &bare));
    let out = sandbox.kits.iter().filter(|used| bare.kits.iter().all(|other| other.name != used.name));
    exported.notes.extend(out.map(|used| {
        let why =
            apart.filter(|_| used.written.is_some()).unwrap_or("stands in the file of another document");
        format!("what the kit {} brings is written out: it {why}", used.name)
    }));
    Ok(exported)
}
