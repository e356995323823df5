//! One scope's rules, edited: what takes the place of what.

use crate::{
    cli::ops::RuleEdit,
    model::{
        desired::Preset,
        rule::{Effect, NetworkRule},
    },
    store::RuleSet,
};

/// The preset that an edit chooses.
pub(super) fn chosen(edit: &RuleEdit) -> Option<Preset> {
    if let RuleEdit::Reset(preset) = edit { *preset } else { None }
}

/// Whether an edit may let more pass, whatever it removes.
pub(super) fn widens(edit: &RuleEdit) -> bool {
    match edit {
        RuleEdit::Add(rules) => rules.iter().any(|rule| rule.effect != Effect::Deny),
        RuleEdit::Reset(preset) => preset.is_some(),
        RuleEdit::RemovePatterns(_) | RuleEdit::RemoveId(_) => false,
    }
}

/// Carries an edit out on one set of rules; gives what was added and removed.
pub(super) fn apply(set: &mut RuleSet, prefix: &str, edit: RuleEdit) -> (Vec<NetworkRule>, Vec<NetworkRule>) {
    match edit {
        RuleEdit::Add(rules) => {
            let opposite = |mine: &NetworkRule| {
                rules.iter().any(|new| {
                    mine.host == new.host
                        && match (mine.effect == new.effect, new.effect) {
                            (true, _) => same(mine, new),
                            (false, Effect::Allow) => lifts(new, mine),
                            (false, _) => denies_all(new, mine),
                        }
                })
            };
            let removed = set.remove(opposite);
            let added = rules.iter().map(|rule| set.add(prefix, rule.clone()).clone()).collect();
            (added, removed)
        }
        RuleEdit::RemovePatterns(patterns) => (
            Vec::new(),
            set.remove(|rule| {
                let set = rule.set.as_ref();
                patterns.contains(&rule.pattern()) || set.is_some_and(|set| patterns.contains(set))
            }),
        ),
        RuleEdit::RemoveId(id) => (Vec::new(), set.remove(|rule| rule.id == id)),
        RuleEdit::Reset(preset) => {
            set.preset = preset;
            (Vec::new(), set.remove(|_| true))
        }
    }
}

/// Whether an allow takes a rule of the other kind with it: one that is written alike. A bare host means its usual port
/// in an allow and all of them in a deny, and is written alike all the same.
pub(super) fn lifts(allow: &NetworkRule, other: &NetworkRule) -> bool {
    allow.host == other.host
        && allow.pattern() == other.pattern()
        && (other.protocol.is_none() || other.protocol == allow.protocol)
        && (other.http.is_empty() || other.http == allow.http)
}

/// Whether a deny leaves nothing of an allow, which is then only in the way of whoever takes the deny back.
fn denies_all(deny: &NetworkRule, allow: &NetworkRule) -> bool {
    deny.ports.first <= allow.ports.first
        && allow.ports.last <= deny.ports.last
        && (deny.protocol.is_none() || deny.protocol == allow.protocol)
        && (deny.http.is_empty() || deny.http == allow.http)
}

/// Whether two rules say the same: adding one again changes nothing but its place.
fn same(left: &NetworkRule, right: &NetworkRule) -> bool {
    (left.effect, left.ports, left.protocol, &left.http, left.addresses, left.during, left.until)
        == (
            right.effect,
            right.ports,
            right.protocol,
            &right.http,
            right.addresses,
            right.during,
            right.until,
        )
}

#[test]
fn an_allow_takes_only_the_deny_of_exactly_its_pattern_away() {
    use crate::model::rule::{Ports, Protocol};
    use serde_json::json;
    let rule = |effect: Effect, text: &str| {
        let (host, ports) = crate::model::pattern::parse(text).unwrap();
        let deny = effect == Effect::Deny;
        let value = json!({
            "id": "", "effect": effect, "host": host, "why": "test", "origin": { "layer": "user" },
            "ports": ports.unwrap_or(if deny { Ports::ALL } else { Ports::one(443) }),
            "protocol": (!deny).then_some(Protocol::Https), "addresses": "public",
        });
        serde_json::from_value::<NetworkRule>(value).unwrap()
    };
    let stays = |first: (Effect, &str), second: (Effect, &str)| {
        let mut set = RuleSet::default();
        let _ = apply(&mut set, "user", RuleEdit::Add(vec![rule(first.0, first.1)]));
        let (_, removed) = apply(&mut set, "user", RuleEdit::Add(vec![rule(second.0, second.1)]));
        removed.is_empty()
    };
    let (allow, deny) = (Effect::Allow, Effect::Deny);
    assert!(stays((deny, "a.example"), (allow, "a.example:8443")), "one port does not open all");
    assert!(!stays((deny, "a.example"), (allow, "a.example")));
    assert!(!stays((deny, "a.example:8443"), (allow, "a.example:8443")));
    assert!(stays((allow, "a.example"), (deny, "a.example:8443")));
    assert!(!stays((allow, "a.example"), (deny, "a.example")));
}
