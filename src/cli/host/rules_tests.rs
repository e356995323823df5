use std::fs;

use super::*;
use crate::{cli::host::approval::tests::Stage, model::rule::Ports};

fn rule(effect: Effect, host: &str) -> NetworkRule {
    let ports = if effect == Effect::Deny { Ports::ALL } else { Ports::one(443) };
    let value = json!({
        "id": "", "effect": effect, "host": {"exact": host}, "ports": ports,
        "why": "tests", "origin": {"layer": "user"},
    });
    serde_json::from_value(value).unwrap()
}

#[test]
fn nothing_is_allowed_that_the_trail_does_not_take() {
    let stage = Stage::new();
    let host = stage.host("web");
    let edit = |edit: RuleEdit| host.edit(&RuleScope::User, edit);
    let add = |effect, name| edit(RuleEdit::Add(vec![rule(effect, name)]));
    let count = || host.store.rules(Scope::User).unwrap().rules.len();
    // A file in the place of the trail's folder takes no event.
    fs::write(host.store.audit(), "").unwrap();
    assert_eq!(add(Effect::Allow, "a.example").unwrap_err().code(), "audit");
    assert_eq!(edit(RuleEdit::Reset(Some(Preset::Open))).unwrap_err().code(), "audit");
    assert_eq!((count(), host.store.rules(Scope::User).unwrap().preset), (0, None));
    // What only tightens stands all the same, and the failure is told.
    assert_eq!(add(Effect::Deny, "b.example").unwrap_err().code(), "audit");
    assert_eq!(count(), 1);
    // Taking it back would let more pass.
    assert_eq!(edit(RuleEdit::RemovePatterns(vec!["b.example".into()])).unwrap_err().code(), "audit");
    assert_eq!(edit(RuleEdit::Reset(None)).unwrap_err().code(), "audit");
    assert_eq!(count(), 1);
    // The break: with a trail it is allowed.
    fs::remove_file(host.store.audit()).unwrap();
    assert_eq!(add(Effect::Allow, "a.example").unwrap().added.len(), 1);
    assert_eq!(count(), 2);
}
