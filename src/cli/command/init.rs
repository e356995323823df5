//! `init`: the smallest useful `sandbox.yaml`, made of what lies in the repository. Runs nothing of it.

mod github;
mod survey;

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, ErrorObject, Failure, Kind, Outcome},
        host::problems,
        ops::Source,
        place::{self, Written},
    },
    kit::{
        Checkout, DiscoverError,
        draft::{Draft, Entry},
        import::{self, Imported, Unmapped},
    },
};

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Take over another tool's file
    #[arg(long, value_enum, value_name = "TOOL")]
    from: Option<From>,
    /// Also write a workflow that checks the files of each pull request
    #[arg(long, value_enum, value_name = "SERVICE")]
    ci: Option<Ci>,
    /// The agent's kit
    #[arg(long, default_value = "shell")]
    agent: String,
}

/// Whose file is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// `.devcontainer/devcontainer.json` or `.devcontainer.json`
    Devcontainer,
    /// `sbxenv.yaml` or `.sbxenv.yaml`
    Sbxenv,
}

/// Which service runs the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Ci {
    /// GitHub Actions
    Github,
}

const FILE: &str = "sandbox.yaml";
const SCHEMA: &str = ".cofferdam/schemas/sandbox.json";
const WORKFLOW: &str = ".github/workflows/cofferdam.yml";

/// Runs the command.
///
/// # Errors
/// When the file is there already, another tool's file is wrong, or nothing can be written.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    if !context.ops.documents().has_agent_kit(&args.agent) {
        let message = format!("there is no agent kit `{}`", args.agent);
        let failure = Failure::new(Kind::NotFound, "no_agent_kit", message);
        return Err(match super::near_agent(&args.agent, context) {
            Some(hint) => failure.hint(hint),
            None => failure,
        });
    }
    let checkout = Checkout::of(context.ops.documents().folder()).map_err(|error| unreadable(&error))?;
    let there = checkout.has(FILE) && !args.force;
    if there && (args.ci.is_none() || args.from.is_some()) {
        let path = checkout.root().join(FILE);
        return Err(Failure::usage("exists_already", format!("{} is there already", path.display()))
            .hint("--force replaces it; `cofferdam check` looks at the one that is there"));
    }
    let (source, mut imported) = match args.from {
        Some(tool) => read(tool, &checkout, args, context)?,
        None => (String::new(), Imported { draft: Draft::new("dev", &args.agent), unmapped: Vec::new() }),
    };
    let seen = survey::add(&checkout, &mut imported.draft)?;
    settle(&mut imported, context)?;
    let mut report =
        Report { source, seen, unmapped: imported.unmapped, written: Vec::new(), kept: Vec::new() };
    let text = imported.draft.render();
    let schema = context.ops.documents().schemas().into_iter().find(|(name, _)| *name == "sandbox.json");
    let mut files = vec![(FILE, text)];
    files.extend(schema.map(|(_, text)| (SCHEMA, text)));
    files.extend(args.ci.map(|Ci::Github| (WORKFLOW, github::WORKFLOW.to_owned())));
    for (path, text) in &files {
        match place::write(checkout.root(), path, text.as_bytes(), args.force)
            .map_err(|error| not_written(path, &error))?
        {
            Written::New => report.written.push(path),
            Written::Same | Written::Kept => report.kept.push(path),
        }
    }
    report.show(args, context, &imported.draft)
}

fn read(
    tool: From,
    checkout: &Checkout,
    args: &Args,
    context: &Context<'_>,
) -> Result<(String, Imported), Failure> {
    let names: &[&str] = match tool {
        From::Devcontainer => &[".devcontainer/devcontainer.json", ".devcontainer.json"],
        From::Sbxenv => &["sbxenv.yaml", ".sbxenv.yaml"],
    };
    for name in names {
        let Some(bytes) = checkout.read(name).map_err(|error| unreadable(&error))? else { continue };
        let imported = match tool {
            From::Devcontainer => import::devcontainer(name, &bytes, &args.agent),
            From::Sbxenv => {
                let agents = |agent: &str| context.ops.documents().has_agent_kit(agent);
                import::sbxenv(name, &bytes, &args.agent, &agents, &crate::kit::has_service)
            }
        };
        return imported.map(|imported| ((*name).to_owned(), imported)).map_err(problems);
    }
    Err(Failure::new(
        Kind::NotFound,
        "nothing_to_import",
        format!("there is no {} here", names.join(" and no ")),
    ))
}

/// Turns what this version or this host does not carry out into comments, until the rest passes the check. Each
/// round makes at least one line a comment, so it ends.
fn settle(imported: &mut Imported, context: &Context<'_>) -> Result<(), Failure> {
    loop {
        let text = imported.draft.render();
        let Err(failure) = context.ops.documents().check(&Source::Text(text)) else { return Ok(()) };
        let before = imported.draft.clone();
        let first = failure.object();
        for found in std::iter::once(first).chain(&first.problems) {
            let Some(line) = found.line else { continue };
            imported.draft.refuse(line, reason(found));
        }
        if imported.draft == before {
            return Err(failure);
        }
        let newly = imported.draft.entries.iter().zip(&before.entries);
        for (entry, _) in newly.filter(|(now, then)| now.refused != then.refused) {
            if let (Some(from), Some(reason)) = (&entry.from, &entry.refused) {
                let (key, reason) = (from.key.clone(), reason.clone());
                imported.unmapped.push(Unmapped { key, line: from.line, column: from.column, reason });
            }
        }
        imported.unmapped.sort_by_key(|one| (one.line, one.column));
    }
}

fn reason(found: &ErrorObject) -> &str {
    if found.code == "not_available" { "not available yet" } else { &found.message }
}

fn unreadable(error: &DiscoverError) -> Failure {
    Failure::from_error(Kind::File, "unreadable", error)
}

fn not_written(path: &str, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Failed, "not_written", format!("cannot write {path}")).caused_by(error)
}

/// What was done, for a person and for a program.
struct Report {
    source: String,
    seen: Vec<survey::Seen>,
    unmapped: Vec<Unmapped>,
    written: Vec<&'static str>,
    kept: Vec<&'static str>,
}

impl Report {
    fn show(&self, args: &Args, context: &Context<'_>, draft: &Draft) -> CommandResult {
        let out = &context.out;
        for seen in &self.seen {
            out.say(format!("{}: {}", seen.file, seen.meaning));
        }
        for one in &self.unmapped {
            out.say(format!(
                "{}:{}:{}: not mapped: {}: {}",
                self.source, one.line, one.column, one.key, one.reason
            ));
        }
        let ours = |entry: &&Entry| entry.from.is_none() && entry.refused.is_some();
        let comments: Vec<&Entry> = draft.entries.iter().filter(ours).collect();
        for entry in &comments {
            out.say(format!(
                "a comment for now: {}: {}",
                entry.text,
                entry.refused.as_deref().unwrap_or_default()
            ));
        }
        for path in &self.kept {
            out.say(format!("{path} is kept as it is"));
        }
        let value = json!({
            "written": self.written,
            "kept": self.kept,
            "seen": self.seen,
            "comments": comments.iter().map(|entry| json!({ "text": entry.text, "reason": entry.refused })).collect::<Vec<_>>(),
            "notMapped": { "file": Some(&self.source).filter(|_| args.from.is_some()), "keys": self.unmapped },
        });
        out.data(&value, || self.written.iter().map(|path| format!("{path}\n")).collect())?;
        out.say(format!("next: look at {FILE}, then `cofferdam check` and `cofferdam run {}`", draft.name));
        Ok(Outcome::Done)
    }
}
