//! Drafts of events: what was attempted, and how it was decided.

use serde_json::{Map, Value};

use crate::{
    model::{
        event::{Decision as Outcome, Draft, RuleRef},
        rule::NetworkRule,
        text::drives,
    },
    policy::{Decision, Near, Reason, Verdict},
};

use super::{dial::DialError, limits::EVENT_TEXT_BYTES};

/// One attempt, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    action: &'static str,
    resource: String,
    detail: Map<String, Value>,
}

impl Attempt {
    /// Something was attempted at `resource`.
    pub fn new(action: &'static str, resource: String) -> Self {
        Self { action, resource: bounded(&resource), detail: Map::new() }
    }

    /// With a further fact; text of the guest is bounded and has no control characters.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.detail.insert(key.to_owned(), Value::String(bounded(&value.to_string())));
        self
    }

    /// The same attempt as another action.
    pub fn action(mut self, action: &'static str) -> Self {
        self.action = action;
        self
    }

    fn draft(&self, outcome: Outcome, rule: Option<RuleRef>, reason: &str) -> Draft {
        Draft {
            time: jiff::Timestamp::now().to_string(),
            action: self.action.to_owned(),
            resource: self.resource.clone(),
            decision: outcome,
            rule,
            reason: reason.to_owned(),
            detail: self.detail.clone(),
        }
    }
}

/// The draft of the policy's own decision.
pub(crate) fn decided(attempt: &Attempt, decision: &Decision) -> Draft {
    let outcome = match &decision.verdict {
        Verdict::Allow(_) => Outcome::Allow,
        Verdict::Deny { reason: Reason::ApprovalRequired, .. } => Outcome::ApprovalRequired,
        Verdict::Deny { .. } => Outcome::Deny,
    };
    let rule = decision.rule().map(|rule| RuleRef::from(&**rule));
    let draft = |attempt: &Attempt| attempt.draft(outcome, rule, &decision.code());
    match &decision.verdict {
        // Where the rule stands that would have let it pass: it is none of those that decided.
        Verdict::Deny { near_miss: Some(Near::Parked(parked)), .. } => {
            draft(&attempt.clone().with("parked", parked.place()))
        }
        _ => draft(attempt),
    }
}

/// The draft of something that passes.
pub(crate) fn allow(attempt: &Attempt, reason: &str, rule: &NetworkRule) -> Draft {
    attempt.draft(Outcome::Allow, Some(RuleRef::from(rule)), reason)
}

/// The draft of something that the policy let pass and that came to nothing in the world: `dial` names why there is
/// no connection. Where we refuse what we found there, it is a denial.
pub(crate) fn unreached(attempt: &Attempt, error: &DialError, granted: &NetworkRule) -> Draft {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let attempt = attempt.clone().with("cause", cause);
    match error {
        DialError::Address(_, rule) => deny(&attempt, error.code(), Some(rule)),
        DialError::Tls(_) => deny(&attempt, error.code(), None),
        DialError::Resolve(_) | DialError::Connect(_) => failed(&attempt, error.code(), granted),
    }
}

/// The draft of something that the policy let pass and that failed afterwards.
pub(crate) fn failed(attempt: &Attempt, reason: &str, granted: &NetworkRule) -> Draft {
    allow(&attempt.clone().with("outcome", "failed"), reason, granted)
}

/// The draft of something that a check of ours blocks.
pub(crate) fn deny(attempt: &Attempt, reason: &str, rule: Option<&NetworkRule>) -> Draft {
    attempt.draft(Outcome::Deny, rule.map(RuleRef::from), reason)
}

fn bounded(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(EVENT_TEXT_BYTES));
    for character in text.chars() {
        if shown.len() >= EVENT_TEXT_BYTES {
            shown.push('…');
            break;
        }
        if drives(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
