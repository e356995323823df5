//! `init`: the smallest useful `sandbox.yaml`, made of what lies in the repository. Runs nothing of it.

mod github;
mod survey;

use std::path::{Path, PathBuf};

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
/// What is read where that file is not.
const FOLDER: &str = ".cofferdam";
/// Of the files there the one that defines no sandbox.
const APPROVALS: &str = "approvals.yaml";
/// Most names in that folder that are looked at.
const NAMES_MAX: usize = 10_000;
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
    refuse_no_folder(checkout.root())?;
    let second = if args.force { Ok(()) } else { refuse_second(checkout.root()) };
    let has_one = second.is_err();
    // A workflow may be added to what is there.
    if args.ci.is_none() || args.from.is_some() {
        second?;
    }
    let (source, mut imported) = match args.from {
        Some(tool) => read(tool, &checkout, args, context)?,
        None => (String::new(), Imported { draft: Draft::new("dev", &args.agent), unmapped: Vec::new() }),
    };
    let seen = survey::add(&checkout, &mut imported.draft);
    settle(&mut imported, context)?;
    let mut report =
        Report { source, seen, unmapped: imported.unmapped, written: Vec::new(), kept: Vec::new() };
    let text = imported.draft.render();
    let schema = context.ops.documents().schemas().into_iter().find(|(name, _)| *name == "sandbox.json");
    let mut files = vec![(FILE, text)];
    files.extend(schema.map(|(_, text)| (SCHEMA, text)));
    files.extend(args.ci.map(|Ci::Github| (WORKFLOW, github::WORKFLOW.to_owned())));
    // The file itself comes last: where something is in the way of another, nothing counts as done.
    for (path, text) in files.iter().rev() {
        if *path == FILE && has_one {
            if checkout.has(FILE) {
                report.kept.insert(0, FILE);
            }
            continue;
        }
        match place::write(checkout.root(), path, text.as_bytes(), args.force)
            .map_err(|error| not_written(&checkout.root().join(path), &error))?
        {
            Written::New => report.written.insert(0, path),
            Written::Same | Written::Kept => report.kept.insert(0, path),
        }
    }
    if context.ops.documents().folder().canonicalize().is_ok_and(|folder| folder != checkout.root()) {
        context.out.say(format!("in {}, where the repository begins", checkout.root().display()));
    }
    report.show(args, context, &imported.draft)
}

/// Fails where a link or a file lies in the place of our folder: what is written below it would go elsewhere, or nowhere.
fn refuse_no_folder(root: &Path) -> Result<(), Failure> {
    let folder = root.join(FOLDER);
    match folder.symlink_metadata() {
        Ok(found) if !found.is_dir() => {
            let sort = if found.is_symlink() { "a link" } else { "a file" };
            let message = format!("{} is {sort}, and has to be a folder", folder.display());
            Err(Failure::new(Kind::Failed, "no_folder", message).hint("move it away"))
        }
        _ => Ok(()),
    }
}

/// Fails where something says already how agents run here: a second file would hide it, and what lies in the place of
/// the first one, a link as well, is somebody's.
fn refuse_second(root: &Path) -> Result<(), Failure> {
    let there = |path: PathBuf| {
        Err(Failure::usage("exists_already", format!("{} is there already", path.display()))
            .hint("--force replaces it; `cofferdam check` looks at the one that is there"))
    };
    let (file, folder) = (root.join(FILE), root.join(FOLDER));
    if file.symlink_metadata().is_ok() {
        return there(file);
    }
    if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let names = folder.read_dir().into_iter().flatten().flatten().take(NAMES_MAX);
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    match names.find(|name| name.ends_with(".yaml") && name != APPROVALS) {
        Some(name) => Err(Failure::usage(
            "exists_already",
            format!("{} is there already, and {FILE} would hide it", folder.join(name).display()),
        )
        .hint("--force writes it all the same; `cofferdam check` looks at what is there")),
        None => Ok(()),
    }
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

/// Most rounds of [`settle`]; each finds up to a hundred lines. What is worse than that is no file to go on with.
const ROUNDS_MAX: usize = 20;

/// Turns what this version or this host does not carry out into comments, until the rest passes the check.
fn settle(imported: &mut Imported, context: &Context<'_>) -> Result<(), Failure> {
    for _ in 0..ROUNDS_MAX {
        let text = imported.draft.render();
        let Err(failure) = context.ops.documents().check(&Source::Text(text)) else { return Ok(()) };
        let before = imported.draft.clone();
        let first = failure.object();
        // That there are more findings is a finding, too, and says nothing of its line.
        let problems =
            std::iter::once(first).chain(&first.problems).filter(|found| found.code != "too_large");
        let places: Vec<(u32, &str)> =
            problems.filter_map(|found| Some((found.line?, reason(found)))).collect();
        if !imported.draft.refuse(&places) {
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
    let message = "more of it is wrong than can be told: thousands of lines";
    Err(Failure::new(Kind::File, "too_much_wrong", message)
        .hint("take out what is not needed, and try again"))
}

fn reason(found: &ErrorObject) -> &str {
    if found.code == "not_available" { "not available yet" } else { &found.message }
}

fn unreadable(error: &DiscoverError) -> Failure {
    Failure::from_error(Kind::File, "unreadable", error)
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Failed, "not_written", format!("cannot write {}", path.display())).caused_by(error)
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
        for (texts, reason) in together(&comments) {
            out.say(format!("a comment for now: {}: {reason}", texts.join(" and ")));
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

/// What became a comment for one reason, because one is of no use without the other, is told once.
fn together<'a>(comments: &[&'a Entry]) -> Vec<(Vec<&'a str>, &'a str)> {
    let mut told: Vec<(&Entry, Vec<&str>)> = Vec::new();
    for entry in comments.iter().copied() {
        let same = |(first, _): &&mut (&Entry, _)| {
            first.group.is_some() && first.group == entry.group && first.refused == entry.refused
        };
        match told.iter_mut().find(same) {
            Some((_, texts)) => texts.push(&entry.text),
            None => told.push((entry, vec![&entry.text])),
        }
    }
    told.into_iter().map(|(first, texts)| (texts, first.refused.as_deref().unwrap_or_default())).collect()
}
