//! A plan for whoever reads it: a terminal, a program, a pull request, a code scanner, a workflow's log.
//!
//! What a repository's file brought is hostile to each of them in its own way, so each renderer escapes for itself:
//! `text` makes control characters visible, `markdown` leaves nothing of the file's own to be markup, `github` keeps
//! a line a line. JSON is [`json`](fn@json).

mod escape;
mod github;
mod markdown;
mod sarif;
mod text;
pub mod wrong;

pub use github::github;
pub use markdown::{MARKDOWN_MAX, MARKER, markdown};
pub use sarif::sarif;
pub use text::text;

use serde_json::{Value, json};

use crate::model::registry::Registry;

use super::{
    Noted, Plan, Planned,
    facts::{Refusal, Rejected},
};

/// A plan with what it was made for.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The reference that it is compared with; none: what runs.
    pub against: Option<&'a str>,
    /// What the files' author should know.
    pub warnings: &'a [String],
    /// Whether the files themselves approve everything that widens.
    pub covered: bool,
}

/// What that means.
pub(super) const COVERED: &str = ".cofferdam/approvals.yaml of this branch covers what widens; on a host it counts only \
                                  from a signed ref that its operator trusts";

/// How serious what a step brings is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It permits more, or would.
    Widens,
    /// It changes, and permits no more.
    Changes,
}

impl View<'_> {
    /// Steps that there is something to say of: what widens first, then in the plan's order.
    fn loud(&self) -> Vec<&Planned> {
        let mut loud: Vec<&Planned> = self.plan.steps.iter().filter(|step| !step.is_quiet()).collect();
        loud.sort_by_key(|step| !widens(step));
        loud
    }

    /// What the registries are that a reader is shown by their names, and who says so.
    fn registries(&self) -> Vec<String> {
        let loud = self.loud();
        let noted = || loud.iter().flat_map(|step| step.grants.iter().chain(&step.parked));
        let named = |name: &str| {
            let set = format!("registry:{name}");
            let is_it = |word: &str| word == set || word.strip_suffix("+publish") == Some(&set);
            noted().any(|noted| noted.grant.to_string().split(' ').any(is_it))
        };
        let line = |(name, registry): (&String, &Registry)| {
            let urls: Vec<String> = registry.urls.iter().map(ToString::to_string).collect();
            format!("registry:{name} is {} ({})", urls.join(", "), registry.source)
        };
        self.plan.registries.iter().filter(|(name, _)| named(name)).map(line).collect()
    }

    /// One line: how many change, widen, wait.
    fn summary(&self) -> String {
        let count = |test: &dyn Fn(&&Planned) -> bool| self.plan.steps.iter().filter(test).count();
        let total = self.plan.steps.len();
        let changing = count(&|step| step.changes_something());
        let widening = count(&|step| widens(step));
        let waiting = count(&|step| !step.parked.is_empty());
        let sandboxes = match total {
            1 => "1 sandbox".to_owned(),
            _ => format!("{total} sandboxes"),
        };
        if changing == 0 && waiting == 0 {
            return format!("{sandboxes}, nothing changes");
        }
        let verb = |count: usize, one: &str, many: &str| {
            (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
        };
        let parts = [
            Some(sandboxes),
            verb(changing, "changes", "change"),
            verb(widening, "widens", "widen"),
            verb(waiting, "waits for an approval", "wait for an approval"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn widens(step: &Planned) -> bool {
    !step.grants.is_empty() || !step.parked.is_empty()
}

/// The plan for programs. Stable: `docs/plan.md` has its fields.
#[must_use]
pub fn json(view: &View<'_>) -> Value {
    let noted = |noted: &[Noted]| serde_json::to_value(noted).unwrap_or_default();
    let step = |step: &Planned| {
        json!({
            "sandbox": step.name,
            "action": step.action,
            "headline": step.headline(),
            "consequences": step.consequences(),
            "changes": step.changes,
            "grants": noted(&step.grants),
            "narrows": noted(&step.narrows),
            "parked": noted(&step.parked),
            "rejected": step.rejected.iter().map(rejected).collect::<Vec<_>>(),
            "builds": step.builds,
            "reasons": step.reasons,
            "sessions": step.sessions,
            "generation": step.generation,
        })
    };
    json!({
        "version": super::VERSION,
        "against": view.against,
        "summary": view.summary(),
        "changes": view.plan.changes_something(),
        "widens": view.plan.widens(),
        "pending": view.plan.is_pending(),
        "covered": view.covered,
        "registries": view.plan.registries,
        "steps": view.plan.steps.iter().map(step).collect::<Vec<_>>(),
        "warnings": warnings(view),
    })
}

/// A grant with what its file says of it, and with the answer.
fn rejected(rejected: &Rejected) -> Value {
    let mut value = serde_json::to_value(&rejected.asked).unwrap_or_default();
    let Refusal { id, by, at } = &rejected.answer;
    for (key, word) in [("id", id), ("by", by), ("at", at)] {
        value[key] = json!(word);
    }
    value
}

/// What the files' author should know, and what the host does not have: each with its kind.
fn warnings(view: &View<'_>) -> Vec<Value> {
    let file = |message: &String| json!({ "kind": "file", "message": message });
    let lacks = view.plan.steps.iter().flat_map(|step| {
        step.lacks.iter().map(|lack| {
            let mut value = serde_json::to_value(lack).unwrap_or_default();
            value["sandbox"] = json!(step.name);
            value
        })
    });
    view.warnings.iter().map(file).chain(lacks).collect()
}
