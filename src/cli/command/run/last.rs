//! What a session leaves behind, in a few lines: what was allowed, what was denied and how to allow it, and the next
//! commands.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    audit::query::Filter,
    cli::{command::audit::events, context::Context, ops::Found},
    model::event::{Decision, Event},
};

/// Most denied resources that are named.
const NAMED_MAX: usize = 5;
/// Most events that are looked at: more say the same again.
const EVENTS_MAX: usize = 100_000;

/// What becomes of the sandbox when its session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It is new, and nobody was told yet how it goes on.
    New,
    /// It stays, and was there before or stands in a file.
    Known,
    /// It is removed.
    Removed,
}

/// Tells of the session that began at `since`; where nothing was asked for, and nothing is new, there is nothing to tell.
pub(super) fn tell(sandbox: &Found, since: Timestamp, after: After, context: &Context<'_>) {
    let name = &sandbox.desired.name;
    let mut allowed = 0_u64;
    let mut denied: BTreeMap<String, u64> = BTreeMap::new();
    let filter = Filter { since: Some(since), ..Filter::default() };
    // A trail that cannot be read is `audit verify`'s to report; here it has nothing to tell.
    for event in events(&sandbox.audit, filter).into_iter().flatten().take(EVENTS_MAX).flatten() {
        match event.decision {
            _ if !is_request(&event) => {}
            Decision::Allow => allowed += 1,
            Decision::Deny | Decision::ApprovalRequired | Decision::Unknown => {
                *denied.entry(event.resource).or_default() += 1;
            }
        }
    }
    let total: u64 = denied.values().sum();
    if after != After::New && allowed + total == 0 {
        return;
    }
    context.out.say(format!("{name}: requests passed: {allowed}, denied: {total}"));
    for (resource, count) in denied.iter().take(NAMED_MAX) {
        context.out.say(format!("  denied {count}×: {resource}"));
    }
    if denied.len() > NAMED_MAX {
        let all = match after {
            After::Removed => String::new(),
            After::New | After::Known => format!(": `cofferdam policy log {name} --denied`"),
        };
        context.out.say(format!("  and {} more{all}", denied.len() - NAMED_MAX));
    }
    if total > 0 && after != After::Removed {
        context.out.say(format!("to let one pass: `cofferdam policy allow network HOST --sandbox {name}`"));
    }
    if after == After::New {
        context.out.say(format!(
            "next: `cofferdam run {name}` goes on, `cofferdam policy log {name}` has every decision, \
             `cofferdam export {name} > sandbox.yaml` keeps it for the team, `cofferdam rm {name}` removes it"
        ));
    }
}

/// A request is told once: the connection that carries it is not counted beside it.
fn is_request(event: &Event) -> bool {
    event.action == "http.request" || (event.action == "net.connect" && event.decision != Decision::Allow)
}
