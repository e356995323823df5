//! `doctor`: looks at what this host has and lacks, and with `--fix` brings it.

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        output::{Table, visible},
    },
    model::status::SandboxStatus,
    template::{
        doctor::{self, Check, Observations, Status},
        host::Host,
        requirement,
    },
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Install what is missing, after showing the exact command; fetch the kernel and build the base template
    #[arg(long)]
    fix: bool,
    /// Fix without a question
    #[arg(short, long, requires = "fix")]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// A fix that fails. Something that is missing is the answer, with exit code 8.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let host = Host::this();
    let mut seen = observe(&host, context);
    let mut fixed = Ok(());
    if args.fix {
        fixed = fix(&host, &seen, args.yes, context);
        seen = observe(&host, context);
    }
    let mut checks = doctor::check_host(&seen);
    checks.extend(damaged(context));
    let ok = checks.iter().all(|check| check.status != Status::Missing);
    if args.fix && ok && fixed.is_ok() {
        fixed = context.ops.templates().prepare_cache(&*context.progress());
    }
    let trusted = context.ops.approvals().trusted()?;
    let value = json!({ "ok": ok, "checks": checks, "trusted": trusted });
    context.out.data(&value, || report(&checks))?;
    context.say_trusted(&trusted);
    fixed?;
    if ok {
        return Ok(Outcome::Done);
    }
    let commands = doctor::fixes(&seen);
    if !commands.is_empty() {
        context.out.say(format!("`cofferdam doctor --fix` runs: {}", requirement::shell_line(&commands)));
    }
    Ok(Outcome::Answer(Kind::HostLacks))
}

/// What of this user's sandboxes cannot be read.
fn damaged(context: &Context<'_>) -> Vec<Check> {
    let broken = |title: String, detail: String| Check {
        id: "state".to_owned(),
        title,
        status: Status::Warn,
        detail,
        fix: None,
    };
    let statuses = match context.ops.machines().list(false) {
        Ok(statuses) => statuses,
        Err(failure) => return vec![broken("state".to_owned(), failure.object().message.clone())],
    };
    let of = |status: &SandboxStatus| {
        let damaged = status.conditions.iter().find(|it| it.reason.as_deref() == Some("Damaged"))?;
        let detail = damaged.message.clone().unwrap_or_default();
        Some(broken(format!("sandbox {}", status.name), detail))
    };
    statuses.iter().filter_map(of).collect()
}

/// Brings what a sandbox cannot run without. Says and asks nothing where nothing is missing.
///
/// # Errors
/// Kind `HostLacks`, with the command that brings it.
pub fn ensure_tools(yes: bool, context: &Context<'_>) -> Result<(), Failure> {
    let host = Host::this();
    let seen = observe(&host, context);
    if doctor::check_host(&seen).iter().any(|check| check.status == Status::Missing) {
        fix(&host, &seen, yes, context)?;
        let checks = doctor::check_host(&observe(&host, context));
        let missing: Vec<&str> = checks
            .iter()
            .filter(|check| check.status == Status::Missing)
            .map(|check| check.title.as_str())
            .collect();
        if !missing.is_empty() {
            let message = format!("this host lacks {}", missing.join(", "));
            return Err(Failure::new(Kind::HostLacks, "host_lacks", message)
                .hint("`cofferdam doctor` says what brings each of them"));
        }
    }
    context.ops.templates().prepare_cache(&*context.progress())
}

fn observe(host: &Host, context: &Context<'_>) -> Observations {
    Observations::of(host, context.ops.templates().cache(), context.ops.machines().hardware())
}

fn fix(host: &Host, seen: &Observations, yes: bool, context: &Context<'_>) -> Result<(), Failure> {
    let commands = doctor::fixes(seen);
    if commands.is_empty() {
        return Ok(());
    }
    let line = requirement::shell_line(&commands);
    context.out.say(format!("to bring what this host lacks: {line}"));
    if !yes {
        let agreed = context.prompt.confirm("Run it?", || {
            Failure::new(
                Kind::HostLacks,
                "host_lacks",
                "this host lacks something, and there is nobody to ask",
            )
            .hint(format!("pass --yes, or run: {line}"))
        })?;
        if !agreed {
            let failure = Failure::new(Kind::HostLacks, "host_lacks", "this host still lacks something");
            return Err(failure.hint(format!("run: {line}")));
        }
    }
    let progress = context.progress();
    doctor::run_fixes(host, &commands, |line| progress.step("installing", None, line)).map_err(|error| {
        Failure::from_error(Kind::HostLacks, "fix_failed", &error).hint(format!("run it by hand: {line}"))
    })
}

fn report(checks: &[Check]) -> String {
    let mut table = Table::new(&["", "CHECK", "FOUND"]);
    for check in checks {
        let mark = match check.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Missing => "MISSING",
        };
        table.row([mark, &check.title, &check.detail]);
    }
    let mut text = table.render();
    for check in checks.iter().filter(|check| check.status != Status::Ok) {
        if let Some(commands) = &check.fix {
            let line = requirement::shell_line(commands);
            text.push_str(&format!("{}: {}\n", visible(&check.title), visible(&line)));
        }
    }
    text
}
