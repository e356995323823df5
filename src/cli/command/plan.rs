//! `plan`: what `apply` would do, and why no more; with `--against`, what a branch changes, without this host.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    cli::{
        args::FileArg,
        compare::compare,
        context::Context,
        failure::{CommandResult, ErrorObject, Failure, Kind, Outcome},
        ops::{Comparison, Wish},
        output::{Form, Output, json_text},
        place, render as lines,
    },
    kit::{self, Elsewhere},
    plan::{
        self, Noted, Plan, PlanInput,
        grant::{Grant, GrantSet},
        render::{self, View, wrong::Wrong},
    },
};

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "-o takes md, sarif and github, too. Exit codes: 0, or with --fail-on widen (the default) 5 \
where more is permitted, with --fail-on change also 1 where anything changes."
)]
pub struct Args {
    #[command(flatten)]
    files: FileArg,
    /// Compare the commit that is checked out with the one where its branch and REF part; looks at no host
    #[arg(long, value_name = "REF", conflicts_with_all = ["replay", "out", "save_input"])]
    against: Option<String>,
    /// Write reports, too
    #[arg(long, value_name = "md|json|sarif|github|text=FILE", num_args = 1..)]
    write: Vec<Report>,
    /// What ends with another code than 0
    #[arg(long, value_enum, default_value = "widen")]
    fail_on: FailOn,
    /// Save the plan, for `apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Save everything that the planner looked at
    #[arg(long, value_name = "FILE")]
    save_input: Option<PathBuf>,
    /// Plan a saved input again; looks at no host
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "out", "save_input"])]
    replay: Option<PathBuf>,
    /// Plan restarts of busy sandboxes, too
    #[arg(long)]
    now: bool,
    /// Plan the removal of sandboxes whose document is gone, with their disks
    #[arg(long)]
    prune: bool,
    /// Set from the global -o.
    #[arg(skip)]
    pub(in crate::cli) form: Form,
}

/// What ends with another code than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// Files that are wrong
    Error,
    /// And more that is permitted or waits for it
    Widen,
    /// And anything that changes
    Change,
    /// Nothing, not even files that are wrong
    None,
}

/// A report and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Report {
    form: Form,
    file: PathBuf,
}

impl std::str::FromStr for Report {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (form, file) = text.split_once('=').ok_or("write for example md=plan.md")?;
        let form = <Form as clap::ValueEnum>::from_str(form, false)
            .map_err(|_| format!("`{form}` is no form of a report: md, json, sarif, github or text"))?;
        if file.is_empty() {
            return Err("the name of the file is missing".to_owned());
        }
        Ok(Self { form, file: file.into() })
    }
}

/// A plan, and what it is compared with.
struct Planned {
    plan: Plan,
    warnings: Vec<String>,
    /// Whether what widens has been approved in the files themselves.
    approved: bool,
    /// What else whoever typed the command should know.
    talk: Vec<String>,
}

impl Args {
    /// Whether it looks at nothing of this host: no configuration, no state, no home.
    #[must_use]
    pub(in crate::cli) fn is_alone(&self) -> bool {
        self.against.is_some() || self.replay.is_some()
    }
}

/// Runs the command on this host.
///
/// # Errors
/// Findings.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    show(args, here(args, context), &context.out)
}

/// Runs the command where it [is alone](Args::is_alone). `locked`: nothing counts that `sandbox.lock` does not pin.
///
/// # Errors
/// Findings; a reference or a commit that is not here; a saved input that is none.
pub(in crate::cli) fn run_alone(
    args: &Args,
    folder: &Path,
    locked: bool,
    elsewhere: Elsewhere,
    out: &Output,
) -> CommandResult {
    show(args, alone(args, folder, locked, elsewhere), out)
}

fn show(args: &Args, planned: Result<Planned, Failure>, out: &Output) -> CommandResult {
    let planned = match planned {
        Ok(planned) => planned,
        Err(failure) => return without(args, failure, out),
    };
    let view = View {
        plan: &planned.plan,
        against: args.against.as_deref(),
        warnings: &planned.warnings,
        covered: planned.approved && planned.plan.widens(),
    };
    for warning in &planned.warnings {
        out.say(format!("warning: {warning}"));
    }
    if let Some(file) = &args.out {
        save(file, &plan::plan_text(&planned.plan))?;
    }
    for report in &args.write {
        save(&report.file, &text(report.form, &view))?;
    }
    out.raw(text(args.form, &view).as_bytes())?;
    for line in &planned.talk {
        out.say(line);
    }
    Ok(outcome(args, &planned))
}

/// There is no plan. Whoever waits for one in a form of a report gets why in that form: a comment that stays as it was
/// would tell of an older change. Text and JSON of a failure are the business of every command.
fn without(args: &Args, failure: Failure, out: &Output) -> CommandResult {
    if failure.kind() == Kind::Usage {
        return Err(failure);
    }
    for report in &args.write {
        save(&report.file, &told(report.form, &failure))?;
    }
    if !args.form.is_common() {
        out.raw(told(args.form, &failure).as_bytes())?;
    }
    if failure.kind() == Kind::File && args.fail_on == FailOn::None {
        out.fail(&failure);
        return Ok(Outcome::Done);
    }
    Err(failure)
}

fn told(form: Form, failure: &Failure) -> String {
    let object = failure.object();
    let all: Vec<Wrong<'_>> = std::iter::once(object).chain(&object.problems).map(wrong).collect();
    match form {
        Form::Text | Form::Json => failure.render(form.format()).unwrap_or_default(),
        Form::Md => render::wrong::markdown(&all),
        Form::Sarif => json_text(&render::wrong::sarif(&all), true),
        Form::Github => render::wrong::github(&all),
    }
}

fn wrong(object: &ErrorObject) -> Wrong<'_> {
    Wrong {
        code: &object.code,
        message: &object.message,
        hint: object.hint.as_deref(),
        file: object.file.as_deref(),
        line: object.line,
        column: object.column,
    }
}

fn outcome(args: &Args, planned: &Planned) -> Outcome {
    let plan = &planned.plan;
    let widens = match args.against {
        Some(_) => plan.widens() && !planned.approved,
        None => plan.is_pending(),
    };
    match args.fail_on {
        FailOn::Widen | FailOn::Change if widens => Outcome::Answer(Kind::Pending),
        FailOn::Change if plan.changes_something() => Outcome::Answer(Kind::Failed),
        _ => Outcome::Done,
    }
}

fn here(args: &Args, context: &Context<'_>) -> Result<Planned, Failure> {
    let wish = Wish { now: args.now, prune: args.prune, ..Wish::default() };
    let proposal = context.ops.plans().propose(&args.files.source(), &wish)?;
    let none = || Failure::new(Kind::Failed, "no_plan", "these files need no plan");
    context.say_trusted(&proposal.trusted);
    let input: PlanInput = proposal.input.ok_or_else(none)?;
    if let Some(file) = &args.save_input {
        save(file, &plan::input_text(&input))?;
    }
    let talk = lines::next(&proposal.asked).into_iter().collect();
    Ok(Planned { plan: plan::make(&input), warnings: proposal.warnings, approved: false, talk })
}

fn alone(args: &Args, folder: &Path, locked: bool, elsewhere: Elsewhere) -> Result<Planned, Failure> {
    if let Some(file) = &args.replay {
        let plan = plan::make(&read(file)?);
        return Ok(Planned { plan, warnings: Vec::new(), approved: false, talk: Vec::new() });
    }
    let reference = args.against.as_deref().unwrap_or("HEAD");
    let compared = compare(folder, &args.files.source(), reference, locked, elsewhere)?;
    let approved = covers(&compared);
    let edited = |file: &String| {
        format!("{}: what the working tree has of it is not committed, and not compared", lines::line(file))
    };
    let talk = compared.edited.iter().map(edited).collect();
    Ok(Planned { plan: compared.plan, warnings: compared.warnings, approved, talk })
}

/// Whether the later commit's own file of approvals covers everything that is new. What it says of a whole set covers
/// no host of it: the lock file that names one is written by the same hand. A definition that the file does not name is
/// not covered.
fn covers(compared: &Comparison) -> bool {
    compared.plan.steps.iter().all(|step| {
        let Some(approved) = compared.approved.get(&step.name) else { return step.grants.is_empty() };
        let by_host: GrantSet = approved.grants().iter().filter(|it| !it.is_of_a_set()).cloned().collect();
        step.grants.iter().all(|Noted { grant, file, .. }| {
            // What no file asks for is each host's own matter, and no file answers it.
            let by_default = *grant == Grant::EmulationOk && file.is_none();
            by_default || by_host.covers(grant) || (grant.is_unpinned() && approved.covers(grant))
        })
    })
}

fn text(form: Form, view: &View<'_>) -> String {
    let json = |value: Value| json_text(&value, true);
    match form {
        Form::Text => render::text(view),
        Form::Json => json(render::json(view)),
        Form::Md => render::markdown(view),
        Form::Sarif => json(render::sarif(view)),
        Form::Github => render::github(view),
    }
}

fn read(file: &Path) -> Result<PlanInput, Failure> {
    let bytes = kit::read_file(file, plan::FILE_MAX)
        .map_err(|error| Failure::from_error(Kind::File, "saved_input", &error).at(file, None, None))?;
    plan::input_from(&bytes)
        .map_err(|error| Failure::from_error(Kind::File, "saved_input", &error).at(file, None, None))
}

fn save(file: &Path, text: &str) -> Result<(), Failure> {
    let folder = std::env::current_dir();
    folder.and_then(|folder| place::write_named(&folder, file, text.as_bytes())).map_err(|error| {
        let message = format!("cannot write {}", file.display());
        Failure::new(Kind::Failed, "not_written", message).caused_by(&error)
    })
}
