//! `exec`: runs a command in a sandbox. Its exit code is the command's own; 124 is our timeout, 125 our failure, 126
//! and 127 as in a shell.

use std::{io::IsTerminal as _, time::Duration};

use crate::cli::{
    args::{self, EnvArgs},
    command::attach::{self, Wish},
    context::Context,
    failure::{CommandResult, Failure},
    session::CODE_OURS,
};
use crate::model::session::SessionKind;

/// What `exec -it NAME` runs.
const LOGIN_SHELL: [&str; 2] = ["bash", "-l"];

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox
    pub name: String,
    /// Pass standard input on, also from a terminal (from a pipe or file it always is)
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// User in the sandbox: agent, root, another name, or a number
    #[arg(short, long)]
    pub user: Option<String>,
    /// Working directory in the sandbox
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    #[command(flatten)]
    pub env: EnvArgs,
    /// End the command after this time, with exit code 124
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    pub timeout: Option<Duration>,
    /// Command and its arguments; with a terminal a login shell needs none
    #[arg(required_unless_present = "tty", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Every failure of ours, with exit code 125.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    run_in(args, context).map_err(|failure| failure.default_exit(CODE_OURS))
}

fn run_in(args: &Args, context: &Context<'_>) -> CommandResult {
    let terminal = std::io::stdin().is_terminal();
    if args.tty && args.interactive && !terminal {
        return Err(Failure::usage("no_terminal", "-it needs a terminal, and standard input is none")
            .hint("leave out -t: standard input is passed on as it is"));
    }
    let sandbox = context.ops.machines().find(&args.name)?;
    context.running(&sandbox)?;
    attach::run(
        &sandbox,
        Wish {
            command: if args.command.is_empty() {
                LOGIN_SHELL.map(str::to_owned).to_vec()
            } else {
                args.command.clone()
            },
            env: args.env.variables(&|name| std::env::var(name).ok(), &context.out)?,
            working_dir: args.workdir.clone(),
            user: args.user.clone(),
            tty: args.tty,
            // With a terminal of its own the command's input is that terminal: only -i asks for it.
            stdin: args.interactive || (!terminal && !args.tty),
            timeout: args.timeout,
            kind: SessionKind::Exec,
        },
    )
}
