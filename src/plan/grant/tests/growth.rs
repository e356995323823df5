//! What deriving and comparing grants costs: a repository's file decides how many there are.

use super::*;
use crate::sys::meter::{Cost, measure};

/// As many allows as denies, each of which narrows each.
fn narrowed(count: u16) -> Sandbox {
    let mut sandbox = Sandbox::smallest("dev");
    let allow = |n| rule(Effect::Allow, &format!("**.example.com:{}", 1_000 + n));
    let deny = |n| NetworkRule {
        http: vec![matching(&["GET"], &[])],
        ..rule(Effect::Deny, &format!("h{n}.example.com"))
    };
    sandbox.network.rules = (0..count).map(allow).chain((0..count).map(deny)).collect();
    sandbox
}

/// One rule for many paths.
fn paths(count: u16) -> Sandbox {
    let mut sandbox = Sandbox::smallest("dev");
    let paths = (0..count).map(|n| format!("/acme/repository{n}/**")).collect();
    let http = vec![HttpMatch { methods: vec!["GET".to_owned(), "POST".to_owned()], paths }];
    sandbox.network.rules = vec![NetworkRule { http, ..rule(Effect::Allow, "api.example") }];
    sandbox
}

fn cost(sandbox: &Sandbox) -> Cost {
    let derive = || {
        let set: GrantSet = granted(sandbox, &ground()).into_iter().map(|granted| granted.grant).collect();
        assert!(restrict(sandbox, &set, &ground()).parked.is_empty());
    };
    let costs = (0..3).map(|_| measure(derive).1);
    costs.min_by_key(|cost| cost.cpu).unwrap_or_else(|| measure(derive).1)
}

/// Four times as many of both: sixteen times as many pairs, and that much is written. Each allow once compared all
/// denies with all.
#[test]
fn what_is_denied_is_put_in_order_once() {
    let (small, large) = (cost(&narrowed(40)), cost(&narrowed(160)));
    assert!(large.cpu < small.cpu * 32, "{small:?} {large:?}");
    assert!(large.asked < small.asked * 24, "{small:?} {large:?}");
}

/// Pairs of paths were taken apart into segments, and grants copied to be compared.
#[test]
fn paths_of_one_rule_are_not_copied_to_be_compared() {
    let (small, large) = (cost(&paths(50)), cost(&paths(400)));
    assert!(large.asked < small.asked * 16, "{small:?} {large:?}");
}

/// A registry to read from and the same to publish to: either denies both, and once neither was left.
#[test]
fn of_two_denies_of_the_same_one_stays() {
    let both =
        "net * **.corp.example:443 except registry:npm (unpinned) except registry:npm+publish (unpinned)";
    let error = both.parse::<Grant>().expect_err("it is not the one form").to_string();
    assert!(
        error.ends_with("is written `net * **.corp.example:443 except registry:npm (unpinned)`"),
        "{error}"
    );
}
