//! Decisions in words, for `policy explain` and for denials.

use std::{fmt, sync::Arc};

use crate::model::{
    parked::{Idle, ParkedRule},
    rule::{During, Effect, NetworkRule, Protocol, Target},
};

use super::{
    compile::Compiled,
    decide::{Decision, Near, Reason, Request, Verdict, applies, decide},
};

/// A decision with every rule that covers the target.
#[derive(Debug)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Each rule that covers the target, best to report first, and whether it applies to the request.
    pub trace: Vec<(NetworkRule, bool)>,
    /// What speaks of the target and is not in force.
    pub parked: Vec<Arc<ParkedRule>>,
    /// Whether set-up steps run.
    setup: bool,
    resource: String,
}

/// Decides and keeps the trace.
#[must_use]
pub fn explain(policy: &Compiled, request: &Request<'_>) -> Explanation {
    let reserved = policy.reserves(request.target);
    let mut found = Vec::new();
    policy.covering(request.target, |index, entry| {
        found.push((index, (*entry.rule).clone(), applies(entry, request, reserved)));
    });
    found.sort_by_key(|(index, ..)| *index);
    let trace = found.into_iter().map(|(_, rule, applies)| (rule, applies)).collect();
    Explanation {
        decision: decide(policy, request),
        trace,
        parked: policy.parked_about(request.target),
        setup: policy.setup(),
        resource: resource(request),
    }
}

/// How a request is named in events and sentences: `api.example:443`, `GET https://api.example/v1`.
#[must_use]
pub fn resource(request: &Request<'_>) -> String {
    let place = place(request.target, request.port);
    let scheme = match request.protocol {
        Protocol::Http => "http",
        _ => "https",
    };
    match request.http {
        None => place,
        Some(http) => {
            let default = Protocol::default_for(request.port) == Some(request.protocol);
            let host = if default { host(request.target) } else { place };
            format!("{} {scheme}://{host}{}", http.method, http.path.unwrap_or("/…"))
        }
    }
}

/// `host:port`, an IPv6 address in brackets.
#[must_use]
pub fn place(target: &Target, port: u16) -> String {
    format!("{}:{port}", host(target))
}

fn host(target: &Target) -> String {
    match target {
        Target::Name(name) => name.clone(),
        Target::Address(address) if address.is_ipv6() => format!("[{address}]"),
        Target::Address(address) => address.to_string(),
    }
}

/// One sentence without a full stop, in printable ASCII when the names are: why `decision` was made about `place`.
#[must_use]
pub fn sentence(decision: &Decision, place: &str) -> String {
    let (reason, rule, near) = match &decision.verdict {
        Verdict::Allow(permit) => return format!("rule {} allows {place}", permit.rule().id),
        Verdict::Deny { near_miss: Some(Near::Parked(parked)), .. } => return idle(parked, place),
        Verdict::Deny { reason, rule, near_miss } => (reason, rule.as_deref(), near_miss.as_ref()),
    };
    let allowed = match near {
        Some(Near::Grant(rule)) => rule.pattern(),
        _ => String::new(),
    };
    match (reason, rule) {
        (Reason::Floor | Reason::RuleDenies, Some(rule)) => format!("rule {} denies {place}", rule.id),
        (Reason::ApprovalRequired, _) => format!("{place} waits for a person's approval"),
        (Reason::SetupOver, _) => format!("no rule allows {place} (allowed during set-up only)"),
        (Reason::HostService, _) => format!("no host service is declared for {place}"),
        (Reason::Port, _) => format!("no rule allows {place} (allowed: {allowed})"),
        (Reason::Protocol, _) => format!("no rule allows this protocol on {place} (allowed: {allowed})"),
        (Reason::Method, _) => format!("no rule allows this method on {place}"),
        (Reason::Path, _) => format!("no rule allows this path on {place}"),
        (Reason::PathAmbiguous, _) => format!("an ambiguous path on {place} matches no rule"),
        _ => format!("no rule allows {place}"),
    }
}

/// What a rule that is not in force says about `place`.
fn idle(rule: &ParkedRule, place: &str) -> String {
    let (says, said) = if rule.asks { ("asks about", "asked about") } else { ("allows", "allowed") };
    let at = rule.place();
    match rule.idle {
        Idle::Waits => format!("{at} {says} {place} and waits for approval: cofferdam pending"),
        Idle::Rejected => format!("{at} {says} {place} and a person has rejected that"),
        Idle::Ended(end) => format!("{at} {said} {place} and has ended ({end})"),
    }
}

/// Why a rule decides nothing now, where it does not: `setup` says whether set-up steps run.
#[must_use]
pub fn inactive(rule: &NetworkRule, setup: bool) -> Option<&'static str> {
    (rule.during == During::Setup && !setup).then_some("in force during set-up only")
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.decision.allowed() { "allowed" } else { "denied" };
        writeln!(formatter, "{outcome}: {}", sentence(&self.decision, &self.resource))?;
        for (rule, applies) in &self.trace {
            let effect = match rule.effect {
                Effect::Allow => "allow",
                Effect::Deny => "deny",
                Effect::Ask => "ask",
            };
            let fits = match inactive(rule, self.setup) {
                _ if *applies => "applies",
                Some(_) => "is inactive (in force during set-up only)",
                None => "does not apply",
            };
            let (layer, pattern) = (rule.origin.layer, rule.pattern());
            write!(formatter, "  {layer}: {effect} {pattern} ({}) {fits}", rule.id)?;
            if let Some(file) = &rule.origin.file {
                write!(formatter, ", {file}:{}", rule.origin.line.unwrap_or_default())?;
            }
            writeln!(formatter, ": {}", rule.why)?;
        }
        for rule in &self.parked {
            let effect = if rule.asks { "ask" } else { "allow" };
            let (layer, pattern, place) = (rule.origin.layer, rule.pattern(), rule.place());
            let id = &rule.id;
            writeln!(
                formatter,
                "  {layer}: {effect} {pattern} ({id}) is inactive ({}), {place}: {}",
                rule.idle, rule.why
            )?;
        }
        Ok(())
    }
}
