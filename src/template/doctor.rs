//! What this host has and lacks, judged from observations. Pure: [`Observations`] in, [`Check`]s out.

use serde::Serialize;

use super::{
    host::{Distribution, Host},
    observe,
    requirement::{self, REQUIREMENTS, Requirement},
    tool::{Tool, ToolError},
};

/// Room for kernel, base and a first sandbox's writes.
const DISK_WANTED: u64 = 4 << 30;
/// Below this no cache can be built.
const DISK_NEEDED: u64 = 1 << 30;
/// Package lists older than this often name packages that the mirror no longer has.
const LISTS_STALE_DAYS: u64 = 14;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, with less protection or speed than it could.
    Warn,
    /// A sandbox cannot run until this is mended.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable, for scripts: `tool.mke2fs`, `jail.landlock`, …
    pub id: String,
    /// What it is, for people.
    pub title: String,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// Commands, each a program and its arguments, that mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Vec<Vec<String>>>,
}

impl Check {
    fn new(id: &str, title: &str, status: Status, detail: impl Into<String>) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), status, detail: detail.into(), fix: None }
    }

    fn fixed_by(mut self, commands: Option<Vec<Vec<String>>>) -> Self {
        self.fix = commands;
        self
    }
}

/// Hardware virtualisation, as the engine's probe found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hardware {
    /// The probe passed.
    Usable,
    /// Absent or proved unusable: machines are emulated.
    Emulated {
        /// Why.
        reason: String,
    },
    /// There, but closed to this user: an error, not a reason to emulate.
    Denied {
        /// Why.
        reason: String,
        /// The command that opens it; empty where none does.
        fix: Vec<String>,
    },
}

/// Everything that the checks are judged from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observations {
    /// Distribution and release.
    pub distribution: Distribution,
    /// Whether we run as root.
    pub superuser: bool,
    /// Machine type as `uname -m` has it.
    pub machine: String,
    /// Programs that are not there.
    pub missing: Vec<Requirement>,
    /// Hardware virtualisation.
    pub hardware: Hardware,
    /// Landlock's ABI version; `None` without Landlock.
    pub landlock: Option<u8>,
    /// Whether seccomp filters work.
    pub seccomp: bool,
    /// Whether memory files work: guest memory is one.
    pub memfd: bool,
    /// Why an unprivileged process may not make a user namespace; `None` where it may.
    pub no_user_namespace: Option<&'static str>,
    /// Whether the unified control group hierarchy is mounted.
    pub cgroup2: bool,
    /// Free bytes where the cache lies; `None` when it cannot be told.
    pub disk_free: Option<u64>,
    /// Age in days of the package lists; `None` where there are none.
    pub lists_age_days: Option<u64>,
}

impl Observations {
    /// Looks at the host. `cache` need not exist yet.
    #[must_use]
    pub fn of(host: &Host, cache: &std::path::Path, hardware: Hardware) -> Self {
        observe::observe(host, cache, hardware)
    }
}

/// Every check, in a stable order.
#[must_use]
pub fn check_host(seen: &Observations) -> Vec<Check> {
    let mut checks = vec![machine(seen)];
    checks.extend(
        REQUIREMENTS
            .iter()
            .filter(|one| !(one.only_unprivileged && seen.superuser))
            .map(|one| tool(seen, one)),
    );
    checks.extend([
        hardware(seen),
        landlock(seen),
        seccomp(seen),
        memfd(seen),
        namespaces(seen),
        cgroup(seen),
    ]);
    checks.extend([disk(seen), lists(seen)]);
    checks
}

/// The commands that mend everything that is `Missing` and has one, without repetition: the tools in a single
/// installation.
#[must_use]
pub fn fixes(seen: &Observations) -> Vec<Vec<String>> {
    let mut commands =
        requirement::install_commands(&seen.missing, &seen.distribution, seen.superuser).unwrap_or_default();
    let single = check_host(seen).into_iter().filter(|one| one.status == Status::Missing);
    for command in single.filter(|one| !one.id.starts_with("tool.")).filter_map(|one| one.fix).flatten() {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands
}

/// Runs the commands of [`fixes`], in order; `on_line` sees their log. Whether to ask first is the caller's
/// decision.
///
/// # Errors
/// When one fails; those after it are not run.
pub fn run_fixes(
    host: &Host,
    commands: &[Vec<String>],
    mut on_line: impl FnMut(&str),
) -> Result<(), ToolError> {
    for words in commands {
        let known =
            ["sudo", "apt-get"].into_iter().find(|known| words.first().is_some_and(|word| word == known));
        let unknown = || ToolError::NotFound { program: words.first().cloned().unwrap_or_default() };
        let program = known.ok_or_else(unknown)?;
        Tool::new(host, program).args(&words[1..]).run(&mut on_line)?;
    }
    Ok(())
}

fn machine(seen: &Observations) -> Check {
    let status = if seen.machine == "x86_64" { Status::Ok } else { Status::Missing };
    Check::new(
        "host.machine",
        "Processor",
        status,
        format!("{}, {}", seen.machine, seen.distribution.title()),
    )
}

fn tool(seen: &Observations, one: &Requirement) -> Check {
    let id = format!("tool.{}", one.program);
    if !seen.missing.contains(one) {
        return Check::new(&id, one.program, Status::Ok, one.why);
    }
    let commands = requirement::install_commands(&[*one], &seen.distribution, seen.superuser);
    let hint = if commands.is_some() {
        "not installed"
    } else {
        "not installed; no command is known for this system"
    };
    let detail = format!("{}: {hint} (package {} on Debian and Ubuntu)", one.why, one.package);
    Check::new(&id, one.program, Status::Missing, detail).fixed_by(commands)
}

fn hardware(seen: &Observations) -> Check {
    let check = |status, detail: String| Check::new("machine.kvm", "Hardware virtualisation", status, detail);
    match &seen.hardware {
        Hardware::Usable => check(Status::Ok, "isolation: hardware".to_owned()),
        Hardware::Emulated { reason } => check(Status::Warn, format!("isolation: emulated ({reason})")),
        Hardware::Denied { reason, fix } => {
            let fix = (!fix.is_empty()).then(|| vec![fix.clone()]);
            check(Status::Missing, reason.clone()).fixed_by(fix)
        }
    }
}

fn landlock(seen: &Observations) -> Check {
    let (status, detail) = match seen.landlock {
        None => (
            Status::Missing,
            "this kernel has no Landlock, or it is not among its active security modules; \
                 Linux 5.13 or later with `landlock` in lsm="
                .to_owned(),
        ),
        Some(abi) if abi < 3 => (Status::Ok, format!("ABI {abi}; truncation is stopped by seccomp here")),
        Some(abi) => (Status::Ok, format!("ABI {abi}")),
    };
    Check::new("jail.landlock", "Landlock", status, detail)
}

fn seccomp(seen: &Observations) -> Check {
    let status = if seen.seccomp { Status::Ok } else { Status::Missing };
    let detail = if seen.seccomp { "filters work" } else { "this kernel was built without seccomp filters" };
    Check::new("jail.seccomp", "seccomp", status, detail)
}

fn memfd(seen: &Observations) -> Check {
    let status = if seen.memfd { Status::Ok } else { Status::Missing };
    let detail =
        if seen.memfd { "guest memory can be shared and sealed" } else { "memfd_create is refused here" };
    Check::new("machine.memfd", "Memory files", status, detail)
}

fn namespaces(seen: &Observations) -> Check {
    let (status, detail) = match seen.no_user_namespace {
        None => (Status::Ok, "allowed".to_owned()),
        Some(why) => (Status::Warn, format!("{why}: the jail does without this layer")),
    };
    Check::new("jail.namespaces", "User namespaces", status, detail)
}

fn cgroup(seen: &Observations) -> Check {
    let (status, detail) = if seen.cgroup2 {
        (Status::Ok, "unified hierarchy")
    } else {
        (Status::Warn, "no unified hierarchy: limits are kept by rlimits alone")
    };
    Check::new("jail.cgroup", "Control groups", status, detail)
}

fn disk(seen: &Observations) -> Check {
    let Some(free) = seen.disk_free else {
        return Check::new("host.disk", "Free disk", Status::Warn, "cannot be told where the cache lies");
    };
    let status = match free {
        ..DISK_NEEDED => Status::Missing,
        DISK_NEEDED..DISK_WANTED => Status::Warn,
        _ => Status::Ok,
    };
    let detail = format!(
        "{:.1} GiB free where the cache lies; {} GiB wanted",
        free as f64 / (1u64 << 30) as f64,
        DISK_WANTED >> 30
    );
    Check::new("host.disk", "Free disk", status, detail)
}

fn lists(seen: &Observations) -> Check {
    let check = |status, detail: String| Check::new("host.apt", "Package lists", status, detail);
    let refresh = || Some(vec![requirement::refresh_command(seen.superuser)]);
    match seen.lists_age_days {
        _ if !seen.distribution.has_apt() => {
            check(Status::Warn, "no apt here: the kernel and the base cannot be fetched".to_owned())
        }
        None => check(Status::Missing, "never fetched".to_owned()).fixed_by(refresh()),
        Some(days) if days > LISTS_STALE_DAYS => {
            check(Status::Warn, format!("{days} days old")).fixed_by(refresh())
        }
        Some(days) => check(Status::Ok, format!("{days} days old")),
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
