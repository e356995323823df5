//! Text that several commands print.

mod rules;

use std::fmt::Write as _;

pub use self::rules::{effect, origin, rules};
use super::{
    ops::{Action, Asked, Inbox, Proposal},
    output::{Table, visible},
};
use crate::{
    audit::view::seconds,
    model::status::{SandboxStatus, SetupState},
    plan::render::{self as plan_render, View},
    store::{Approval, approvals},
};

/// Where sandboxes stand, a line each, with the reason below where there is one.
#[must_use]
pub fn statuses(statuses: &[SandboxStatus]) -> String {
    let mut table = Table::new(&["NAME", "AGENT", "PHASE", "ISOLATION", "WORKSPACE"]);
    let published = statuses.iter().any(|status| !status.ports.is_empty());
    if published {
        table = Table::new(&["NAME", "AGENT", "PHASE", "ISOLATION", "PORTS", "WORKSPACE"]);
    }
    for status in statuses {
        let isolation = status.isolation.map_or_else(String::new, |isolation| isolation.to_string());
        let workspace = status.workspace.as_deref().unwrap_or_default();
        let (name, phase, ports) = (&status.name, status.phase.to_string(), ports(status));
        if published {
            table.row([name, &status.agent, &phase, &isolation, &ports, workspace]);
        } else {
            table.row([name, &status.agent, &phase, &isolation, workspace]);
        }
    }
    let mut text = table.render();
    for status in statuses {
        if let Some(setup) = setup(status) {
            let _ = writeln!(text, "{}: {}", visible(&status.name), visible(&setup));
        }
        if let Some(sessions) = sessions(status) {
            let _ = writeln!(text, "{}: {}", visible(&status.name), visible(&sessions));
        }
        for note in status.reason.iter().chain(&status.notes) {
            let _ = writeln!(text, "{}: {}", visible(&status.name), visible(note));
        }
        for condition in &status.conditions {
            let Some(message) = &condition.message else { continue };
            let word = condition.reason.as_ref().unwrap_or(&condition.condition);
            let _ = writeln!(text, "{}: {}: {}", visible(&status.name), visible(word), visible(message));
        }
    }
    text
}

/// What the jails of sandboxes are without on this host, a line each.
#[must_use]
pub fn jails(statuses: &[SandboxStatus]) -> String {
    let mut text = String::new();
    for status in statuses.iter().filter(|status| !status.jail_missing.is_empty()) {
        let missing = status.jail_missing.join(", ");
        let _ = writeln!(text, "{}: its jail is without {}", visible(&status.name), visible(&missing));
    }
    text
}

/// How many documents stand in no file.
#[must_use]
pub fn from_command_lines(count: usize) -> String {
    let (documents, print) = match count {
        0 => return String::new(),
        1 => ("1 document comes", "it"),
        _ => (&*format!("{count} documents come"), "them"),
    };
    format!("{documents} from command lines: `cofferdam export` prints {print}\n")
}

fn setup(status: &SandboxStatus) -> Option<String> {
    let setup = status.setup.as_ref()?;
    match setup.state {
        SetupState::Done => None,
        SetupState::Running => Some(format!(
            "sets itself up: step {} of {}, {}",
            setup.index,
            setup.total,
            setup.step.as_deref().unwrap_or_default()
        )),
        SetupState::Failed => {
            Some(format!("SetupFailed: {}", setup.reason.as_deref().unwrap_or("no reason is known")))
        }
    }
}

/// Who works in it: `2 sessions are open: exec bash, task claude`.
fn sessions(status: &SandboxStatus) -> Option<String> {
    let open: Vec<String> = status.sessions.iter().map(|it| format!("{} {}", it.kind, it.program)).collect();
    match open.as_slice() {
        [] => None,
        [one] => Some(format!("1 session is open: {one}")),
        many => Some(format!("{} sessions are open: {}", many.len(), many.join(", "))),
    }
}

/// `8081→3000`: the host's port, then the guest's.
fn ports(status: &SandboxStatus) -> String {
    let words = status.ports.iter().map(|port| format!("{}→{}", port.host, port.guest));
    words.collect::<Vec<_>>().join(" ")
}

/// What would happen, and what it grants.
#[must_use]
pub fn proposal(proposal: &Proposal) -> String {
    if let Some(plan) = &proposal.plan {
        let text = plan_render::text(&View { plan, against: None, warnings: &[], covered: false });
        return text.trim_end().to_owned();
    }
    let mut text = String::new();
    for change in proposal.changes.iter().filter(|change| change.action != Action::Keep) {
        let word = if change.action == Action::Delete { "delete" } else { "change" };
        let _ = writeln!(text, "{word} {}", visible(&change.sandbox));
        for grant in &change.grants {
            let _ = writeln!(text, "  grants {}", visible(grant));
        }
        for note in &change.notes {
            let _ = writeln!(text, "  {}", visible(note));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The whole list of what nobody has approved, grouped by sandbox and by the kit or file that asks.
#[must_use]
pub fn asked(asked: &[Asked]) -> String {
    let mut text = String::new();
    let mut sandboxes: Vec<&str> = asked.iter().map(|asked| asked.sandbox.as_str()).collect();
    sandboxes.dedup();
    for sandbox in sandboxes {
        let _ = writeln!(text, "{} asks for", visible(sandbox));
        let own: Vec<&Asked> = asked.iter().filter(|asked| asked.sandbox == sandbox).collect();
        let ids: Vec<&String> = own.iter().map(|asked| &asked.id).collect();
        let mut kits: Vec<&str> = own.iter().map(|asked| kit(asked)).collect();
        kits.sort_unstable();
        kits.dedup();
        for name in kits {
            let _ = writeln!(text, "  {}", visible(name));
            for asked in own.iter().filter(|asked| kit(asked) == name) {
                let _ = writeln!(text, "    {}", question(asked, &ids));
            }
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// What was parked, and what to do about it.
#[must_use]
pub fn parked(asked: &[Asked]) -> String {
    let mut names: Vec<&str> = asked.iter().map(|asked| asked.sandbox.as_str()).collect();
    names.dedup();
    let (count, word) = (asked.len(), if asked.len() == 1 { "grant waits" } else { "grants wait" });
    let commands: Vec<String> = names.iter().map(|name| format!("`cofferdam approve {name}`")).collect();
    format!(
        "{count} {word} for an approval: `cofferdam pending` shows what, {} (or --yes) approves",
        commands.join(", ")
    )
}

/// The next command, where something waits: `approve` knows what an `apply` has asked for.
#[must_use]
pub fn next(asked: &[Asked]) -> Option<String> {
    let first = asked.first()?;
    let waits = match asked.len() {
        1 => "1 grant waits".to_owned(),
        many => format!("{many} grants wait"),
    };
    let mut names: Vec<&str> = asked.iter().map(|asked| asked.sandbox.as_str()).collect();
    names.dedup();
    let next = match asked.iter().all(|asked| asked.since.is_some()) {
        true if names.len() == 1 => format!("`cofferdam approve {}` approves", first.sandbox),
        true => "`cofferdam pending` shows them with their ids".to_owned(),
        false => "`cofferdam apply` asks".to_owned(),
    };
    Some(format!("{waits} for an approval: {next}"))
}

/// What waits, and what was answered.
#[must_use]
pub fn inboxes(inboxes: &[Inbox]) -> String {
    let mut text = String::new();
    for inbox in inboxes {
        let _ = writeln!(text, "{}/{}", visible(&inbox.place), visible(&inbox.sandbox));
        let ids = inbox.ids();
        let short = |grant: &str| approvals::short(&approvals::id(grant), &ids).to_owned();
        for asked in &inbox.asked {
            let _ = writeln!(text, "  {}", question(asked, &ids));
        }
        for approval in &inbox.approved {
            let id = short(&approval.grant);
            let ended = if inbox.in_force.contains(&approval.grant) { "" } else { ", ended" };
            let until = end(approval).map_or_else(String::new, |until| format!(" until {until}{ended}"));
            let commit = approval.commit.as_deref().map(|commit| commit.get(..12).unwrap_or(commit));
            let commit = commit.map_or_else(String::new, |commit| format!(" for commit {}", visible(commit)));
            let _ = writeln!(
                text,
                "  {id}  approved  {}  by {} at {}{commit}{until}",
                visible(&approval.grant),
                visible(&approval.by),
                seconds(&approval.at),
            );
        }
        for from in &inbox.committed {
            let id = short(&from.grant);
            let commit = from.commit.get(..12).unwrap_or(&from.commit);
            let until = from.until.map_or_else(String::new, |until| format!(" until {until}"));
            let _ = writeln!(
                text,
                "  {id}  approved  {}  by {} at {commit}, signed by {}{until}",
                visible(&from.grant),
                visible(&from.reference),
                visible(&from.signer),
            );
        }
        for rejection in &inbox.rejected {
            let id = short(&rejection.grant);
            let _ = writeln!(
                text,
                "  {id}  rejected  {}  by {} at {}",
                visible(&rejection.grant),
                visible(&rejection.by),
                seconds(&rejection.at)
            );
        }
    }
    text
}

/// When an approval ends, as `--until` takes it.
fn end(approval: &Approval) -> Option<String> {
    let written = visible(approval.until.as_deref()?);
    Some(approval.end().map_or_else(|| written.into_owned(), |end| end.to_string()))
}

/// Grants of an inbox that are to be answered, a line each.
#[must_use]
pub fn answered(inbox: &Inbox, grants: &[String]) -> String {
    let mut text = format!("{}/{}\n", visible(&inbox.place), visible(&inbox.sandbox));
    let ids = inbox.ids();
    for grant in grants {
        let line = match inbox.asked.iter().find(|asked| asked.grant == *grant) {
            Some(asked) => question(asked, &ids),
            None => format!("{}  {}", approvals::short(&approvals::id(grant), &ids), visible(grant)),
        };
        let until = inbox.approved.iter().find(|approval| approval.grant == *grant);
        let until = until.and_then(end).map_or_else(String::new, |until| format!("  until {until}"));
        let _ = writeln!(text, "  {line}{until}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// The file or kit that asks, without its line; a grant without one follows from what nobody wrote.
fn kit(asked: &Asked) -> &str {
    let Some(from) = asked.from.as_deref() else { return "by default" };
    match from.rsplit_once(':') {
        Some((file, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => file,
        _ => from,
    }
}

fn question(asked: &Asked, ids: &[impl AsRef<str>]) -> String {
    let mut text = format!("{}  {}", approvals::short(&asked.id, ids), visible(&asked.grant));
    if !asked.why.is_empty() {
        let _ = write!(text, "  ({})", visible(&asked.why));
    }
    if let Some(from) = &asked.from {
        let _ = write!(text, "  {}", visible(from));
    }
    if !asked.yes {
        text.push_str("  [not covered by --yes]");
    }
    text
}

/// One line that a file brought.
#[must_use]
pub fn line(text: &str) -> String {
    visible(text).into_owned()
}
