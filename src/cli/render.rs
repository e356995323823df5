//! Text that several commands print.

use std::fmt::Write as _;

use super::{
    ops::{Action, Proposal},
    output::{Table, visible},
};
use crate::model::{
    rule::{Effect, NetworkRule, Origin},
    status::{SandboxStatus, SetupState},
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
        for note in status.reason.iter().chain(&status.notes) {
            let _ = writeln!(text, "{}: {}", visible(&status.name), visible(note));
        }
        if !status.jail_missing.is_empty() {
            let missing = status.jail_missing.join(", ");
            let _ = writeln!(text, "{}: its jail is without {}", visible(&status.name), visible(&missing));
        }
    }
    text
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

/// `8081→3000`: the host's port, then the guest's.
fn ports(status: &SandboxStatus) -> String {
    let words = status.ports.iter().map(|port| format!("{}→{}", port.host, port.guest));
    words.collect::<Vec<_>>().join(" ")
}

/// What would happen, and what it grants.
#[must_use]
pub fn proposal(proposal: &Proposal) -> String {
    let mut text = String::new();
    for change in &proposal.changes {
        let word = match change.action {
            Action::Create => "create",
            Action::Update => "update",
            Action::Restart => "restart",
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Keep => continue,
            Action::Delete => "delete",
        };
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

/// The word for an effect.
#[must_use]
pub const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::Ask => "ask",
    }
}

/// `layer`, or `layer file:line`.
#[must_use]
pub fn origin(origin: &Origin) -> String {
    match (&origin.file, origin.line) {
        (Some(file), Some(line)) => format!("{} {file}:{line}", origin.layer),
        (Some(file), None) => format!("{} {file}", origin.layer),
        (None, _) => origin.layer.to_string(),
    }
}

/// Rules, a line each.
#[must_use]
pub fn rules(rules: &[NetworkRule]) -> String {
    let mut table = Table::new(&["EFFECT", "PATTERN", "PROTOCOL", "REQUESTS", "FROM", "RULE", "WHY"]);
    for rule in rules {
        let protocol = rule.protocol.map_or_else(String::new, |protocol| protocol.to_string());
        let requests = requests(rule);
        let (pattern, from) = (rule.pattern(), origin(&rule.origin));
        table.row([effect(rule.effect), &pattern, &protocol, &requests, &from, &rule.id, &rule.why]);
    }
    table.render()
}

fn requests(rule: &NetworkRule) -> String {
    let one = |matcher: &crate::model::rule::HttpMatch| {
        let parts = [matcher.methods.join(","), matcher.paths.join(",")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    rule.http.iter().map(one).collect::<Vec<_>>().join("; ")
}
