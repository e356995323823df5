//! The command line: `KIT.md`, section 4, is its contract. Level 5; owns no state.
//!
//! ```text
//! argv ─▶ Cli (clap) ─▶ command::*::run(Args, Context) ─▶ Outcome | Failure ─▶ exit code
//!                          │            │
//!                          │            ├─ out     stdout is data, stderr is talk
//!                          │            ├─ prompt  asks a person, or nobody
//!                          │            └─ ops     everything that changes a machine
//!                          └─ client, session: a running sandbox's keeper, and a command in it
//! ```
//!
//! Read `failure` and `output` first: every command ends in them. Absent on purpose: no command changes a machine
//! by itself, no command prints what a guest wrote without making it visible (an exec's own output excepted), and
//! nothing here holds a secret's value.

pub mod args;
pub mod client;
pub mod command;
pub mod committed;
mod compare;
pub mod condition;
pub mod context;
pub mod demo;
pub mod failure;
pub mod host;
pub mod ops;
pub mod output;
mod place;
pub mod progress;
pub mod prompt;
mod render;
pub mod session;
mod slip;
#[cfg(test)]
mod tests;
mod watchdog;

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser as _, error::ErrorKind};

use self::{
    context::Context,
    failure::{Failure, Outcome},
    ops::Operations,
    output::{Form, Format, Output},
    prompt::Prompt,
};

/// Declarative microVM sandboxes for AI coding agents.
#[derive(Debug, clap::Parser)]
#[command(name = "cofferdam", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 the file is wrong, 4 denied by policy, \
5 approval pending, 6 not found, 7 timed out, 8 this host lacks something. exec passes the command's own code \
through; 124 is our timeout, 125 our failure.")]
pub struct Cli {
    /// Form of data and errors; md, sarif and github are forms of `plan` only
    #[arg(short, long, global = true, value_enum, default_value = "text", value_name = "text|json")]
    output: Form,
    /// Never ask; fail where a question would be asked
    #[arg(long, global = true)]
    no_input: bool,
    /// Use what sandbox.lock pins, and refuse what it lacks or has otherwise
    #[arg(long, global = true)]
    locked: bool,
    #[command(subcommand)]
    command: command::Command,
}

/// Runs the command line of this process against what `ops` opens; it is told whether the command needs the state
/// directory. A wrong command line opens nothing.
pub fn main_with(ops: impl FnOnce(bool) -> Result<Box<dyn Operations>, Failure>) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => ExitCode::from(cli.run(ops)),
        Err(error) => ExitCode::from(refuse(&error, &arguments)),
    }
}

impl Cli {
    /// Hands the form of data to the one command that has more of them.
    fn choose_form(&mut self) -> Result<(), Failure> {
        if let command::Command::Plan(plan) = &mut self.command {
            plan.form = self.output;
        } else if !self.output.is_common() {
            let message = "this form is one of `plan`'s; every command has text and json";
            return Err(Failure::usage("output", message));
        }
        Ok(())
    }

    fn run(mut self, ops: impl FnOnce(bool) -> Result<Box<dyn Operations>, Failure>) -> u8 {
        let (out, prompt) = (Output::standard(self.output.format()), Prompt::from_process(self.no_input));
        if let Err(failure) = self.choose_form() {
            out.fail(&failure);
            return failure.exit_code();
        }
        if let command::Command::Plan(plan) = &self.command
            && plan.is_alone()
        {
            let planned = |folder: PathBuf| {
                command::plan::run_alone(plan, &folder, self.locked, host::fetched_kits(), &out)
            };
            return end(host::working_folder().and_then(planned), &out);
        }
        let ops = match ops(self.command.needs_state()) {
            Ok(ops) => ops,
            Err(failure) => {
                out.fail(&failure);
                return failure.exit_code();
            }
        };
        if self.locked {
            ops.documents().demand_locked();
        }
        let context = Context { out, prompt, ops: &*ops };
        end(self.command.run(&context), &context.out)
    }
}

fn end(result: Result<Outcome, Failure>, out: &Output) -> u8 {
    match result {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) => {
            out.fail(&failure);
            failure.exit_code()
        }
    }
}

/// Help and version go to standard output; a wrong command line is a failure like any other.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody is left to be told when this fails.
        let _ = error.print();
        return 0;
    }
    match (wanted_format(arguments), slip::told(error, arguments)) {
        (format, Some(failure)) => Output::standard(format).fail(&failure),
        (Format::Json, None) => Output::standard(Format::Json).fail(&usage(error)),
        (Format::Text, None) => {
            drop(write!(std::io::stderr(), "{}", output::visible_lines(&error.render().to_string())))
        }
    }
    failure::Kind::Usage.exit_code()
}

fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let message = paragraphs.next().unwrap_or("wrong command line");
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let plain =
        |paragraph: &str| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ").replace("tip: ", "");
    let hint = paragraphs.map(plain).collect::<Vec<_>>().join("; ");
    let failure = Failure::usage("usage", message);
    if hint.is_empty() { failure } else { failure.hint(hint) }
}

/// The form that a command line asks for which clap could not read.
fn wanted_format(arguments: &[OsString]) -> Format {
    let mut arguments = arguments.iter().map(OsString::as_os_str).take_while(|argument| *argument != "--");
    let json = |value: Option<&OsStr>| value.is_some_and(|value| value == "json");
    while let Some(argument) = arguments.next() {
        let found = match argument.to_str() {
            Some("-o" | "--output") => json(arguments.next()),
            Some("-ojson" | "-o=json" | "--output=json") => true,
            _ => false,
        };
        if found {
            return Format::Json;
        }
    }
    Format::Text
}
