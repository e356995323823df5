//! The commands, one file each, all of one shape: `Args`, and `run(args, context)`. Commands parse, ask and show; what
//! changes a machine is behind [`super::ops`].

pub mod apply;
pub mod approve;
pub mod attach;
pub mod audit;
pub mod check;
pub mod completion;
pub mod create;
pub mod delete;
pub mod demo;
pub mod doctor;
pub mod exec;
pub mod export;
pub mod init;
pub mod kit;
pub mod launch;
pub mod logs;
pub mod ls;
pub mod pending;
mod pick;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod reject;
pub mod restart;
pub mod resume;
pub mod rm;
pub mod run;
pub mod schema;
pub mod secret;
pub mod start;
pub mod status;
pub mod stop;
pub mod suspend;
pub mod task;
pub mod template;
pub mod update;
pub mod version;

use super::{
    context::Context,
    failure::{CommandResult, Failure, Kind},
    ops::{Found, Source},
};

/// Every command, in the order of a day's use, as help lists them.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the smallest useful sandbox.yaml, from what lies in the repository
    Init(init::Args),
    /// Check files; changes nothing
    Check(check::Args),
    /// Show what apply would do, or what a branch changes; changes nothing
    Plan(plan::Args),
    /// Make the machines what the files say
    Apply(apply::Args),
    /// Make and start what is missing, then attach
    Run(run::Args),
    /// List sandboxes
    Ls(ls::Args),
    /// Show where sandboxes stand
    Status(status::Args),
    /// Run a command in a sandbox
    Exec(exec::Args),
    /// Show a sandbox's console
    Logs(logs::Args),
    /// Show, publish and withdraw a sandbox's ports
    Ports(ports::Args),
    /// Start sandboxes
    Start(start::Args),
    /// Stop sandboxes; their disks stay
    Stop(stop::Args),
    /// Stop and start sandboxes
    Restart(restart::Args),
    /// Leave sandboxes as they are, whatever their files say, until resume
    Suspend(suspend::Args),
    /// Put suspended sandboxes back under their files
    Resume(resume::Args),
    /// Show what waits for an approval
    Pending(pending::Args),
    /// Approve what waits
    Approve(approve::Args),
    /// Reject what waits, or withdraw an approval
    Reject(reject::Args),
    /// Rules: show, add, remove, ask, and what they did
    Policy(policy::Args),
    /// Secrets by name
    Secret(secret::Args),
    /// The audit trail: follow, verify, search
    Audit(audit::Args),
    /// Make a sandbox for an agent
    Create(create::Args),
    /// Remove sandboxes with their disks
    Rm(rm::Args),
    /// Remove the sandboxes that files define
    Delete(delete::Args),
    /// Print a sandbox as the file that says all of it
    Export(export::Args),
    /// Kits: check, import, pack
    Kit(kit::Args),
    /// Resolve registries and kits anew into sandbox.lock, and show what that changes
    Update(update::Args),
    /// Templates: build, list, remove
    Template(template::Args),
    /// Look at what this host has and lacks
    Doctor(doctor::Args),
    /// Play the acceptance story: one agent, four attacks
    Demo(demo::Args),
    /// The JSON Schemas of the files
    Schema(schema::Args),
    /// A completion script for a shell
    Completion(completion::Args),
    /// Show the version
    Version(version::Args),
}

impl Command {
    /// Whether it looks at what this host remembers: one that only reads files works where nothing can be remembered.
    #[must_use]
    pub(super) const fn needs_state(&self) -> bool {
        !matches!(
            self,
            Self::Check(_)
                | Self::Kit(_)
                | Self::Update(_)
                | Self::Schema(_)
                | Self::Completion(_)
                | Self::Version(_)
        )
    }

    /// Runs the command.
    ///
    /// # Errors
    /// What it ends with.
    pub fn run(self, context: &Context<'_>) -> CommandResult {
        match self {
            Self::Plan(args) => plan::run(&args, context),
            Self::Apply(args) => apply::run(&args, context),
            Self::Pending(args) => pending::run(&args, context),
            Self::Approve(args) => approve::run(&args, context),
            Self::Reject(args) => reject::run(&args, context),
            Self::Status(args) => status::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Create(args) => create::run(&args, context),
            Self::Run(args) => run::run(&args, context),
            Self::Start(args) => start::run(&args, context),
            Self::Stop(args) => stop::run(&args, context),
            Self::Restart(args) => restart::run(&args, context),
            Self::Suspend(args) => suspend::run(&args, context),
            Self::Resume(args) => resume::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Delete(args) => delete::run(&args, context),
            Self::Exec(args) => exec::run(&args, context),
            Self::Ports(args) => ports::run(&args, context),
            Self::Logs(args) => logs::run(&args, context),
            Self::Init(args) => init::run(&args, context),
            Self::Export(args) => export::run(&args, context),
            Self::Check(args) => check::run(&args, context),
            Self::Kit(args) => kit::run(&args, context),
            Self::Update(args) => update::run(&args, context),
            Self::Doctor(args) => doctor::run(&args, context),
            Self::Demo(args) => demo::run(&args, context),
            Self::Version(args) => version::run(&args, context),
            Self::Policy(args) => policy::run(&args, context),
            Self::Audit(args) => audit::run(&args, context),
            Self::Template(args) => template::run(&args, context),
            Self::Secret(args) => secret::run(&args, context),
            Self::Schema(args) => schema::run(&args, context),
            Self::Completion(args) => completion::run(&args, context),
        }
    }
}

/// Does `each` for every name, goes on after a failure, and reports all failures as one.
fn for_each<T>(names: &[String], each: impl FnMut(&String) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for result in names.iter().map(each) {
        match result {
            Ok(value) => done.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::several(failures).map_or(Ok(done), Err)
}

/// The sandbox that is named, where one is.
fn find_named(name: Option<&String>, context: &Context<'_>) -> Result<Option<Found>, Failure> {
    name.map(|name| context.ops.machines().find(name)).transpose()
}

/// What to name in place of a word that is no agent's kit.
fn near_agent(word: &str, context: &Context<'_>) -> Option<String> {
    let bare = Source::CommandLine(Box::new(crate::kit::export::bare(word)));
    context.ops.documents().check(&bare).err().and_then(|failure| failure.object().hint.clone())
}

/// Asks before something is destroyed; `flag` answers where nobody can be asked.
fn confirm_loss(context: &Context<'_>, question: &str, flag: &str) -> Result<(), Failure> {
    let agreed = context.prompt.confirm(question, || {
        Failure::usage("needs_confirmation", "this destroys data, and there is nobody to ask")
            .hint(format!("pass {flag}"))
    })?;
    if agreed {
        Ok(())
    } else {
        Err(Failure::new(Kind::Failed, "not_confirmed", "not confirmed; nothing was changed"))
    }
}
