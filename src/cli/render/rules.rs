//! Rules as text.

use crate::{
    cli::output::Table,
    model::{
        api::PolicyRevision,
        rule::{Effect, HttpMatch, Origin},
    },
    policy::explain,
};

/// Rules, a line each.
#[must_use]
pub fn rules(policy: &PolicyRevision) -> String {
    let ends = policy.rules.iter().any(|rule| rule.until.is_some());
    let mut table = match ends {
        true => Table::new(&["EFFECT", "PATTERN", "PROTOCOL", "REQUESTS", "UNTIL", "FROM", "RULE", "WHY"]),
        false => Table::new(&["EFFECT", "PATTERN", "PROTOCOL", "REQUESTS", "FROM", "RULE", "WHY"]),
    };
    for rule in &policy.rules {
        let why = match explain::inactive(rule, policy.setup) {
            Some(inactive) => format!("(inactive: {inactive}) {}", rule.why),
            None => rule.why.clone(),
        };
        let protocol = rule.protocol.map_or_else(String::new, |protocol| protocol.to_string());
        let requests = requests(&rule.http);
        let (pattern, from) = (rule.pattern(), origin(&rule.origin));
        let (effect, id) = (effect(rule.effect), rule.id.as_str());
        if ends {
            let until = rule.until.map_or_else(String::new, |until| until.to_string());
            table.row([effect, &pattern, &protocol, &requests, &until, &from, id, &why]);
        } else {
            table.row([effect, &pattern, &protocol, &requests, &from, id, &why]);
        }
    }
    for rule in &policy.parked {
        let protocol = rule.protocol.map_or_else(String::new, |protocol| protocol.to_string());
        let (requests, pattern, from) = (requests(&rule.http), rule.pattern(), origin(&rule.origin));
        let effect = effect(if rule.asks { Effect::Ask } else { Effect::Allow });
        let why = format!("(inactive: {}) {}", rule.idle, rule.why);
        if ends {
            table.row([effect, &pattern, &protocol, &requests, "", &from, &rule.id, &why]);
        } else {
            table.row([effect, &pattern, &protocol, &requests, &from, &rule.id, &why]);
        }
    }
    table.render()
}

fn requests(http: &[HttpMatch]) -> String {
    let one = |matcher: &HttpMatch| {
        let parts = [matcher.methods.join(","), matcher.paths.join(",")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    http.iter().map(one).collect::<Vec<_>>().join("; ")
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
