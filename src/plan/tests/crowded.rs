//! A comment of a plan that is too long for one: what it leaves out is counted, and nobody is left out with it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::planning::ground;
use crate::plan::{
    Action, Noted, Plan, Planned,
    make::bare,
    render::{MARKDOWN_MAX, View, markdown},
};

fn grant(text: &str) -> Noted {
    Noted {
        grant: text.parse().unwrap_or_else(|error| panic!("{text}: {error}")),
        why: "plain reason, [and](more) | of it".to_owned(),
        file: Some("packages/web/.cofferdam/web.sandbox.yaml".to_owned()),
        line: Some(12),
    }
}

fn step(name: &str, grants: Vec<Noted>, narrows: Vec<Noted>) -> Planned {
    Planned { grants, narrows, ..bare(name.parse().expect("a name"), Action::UpdateLive) }
}

fn shown(steps: Vec<Planned>, warnings: &[String]) -> String {
    let plan = Plan { ground: ground(), steps, registries: std::collections::BTreeMap::new() };
    markdown(&View { plan: &plan, against: Some("origin/main"), warnings, covered: false })
}

/// What a comment shows of each sandbox, and what it says that it leaves out of it; of sandboxes without a name, in one.
fn counted(comment: &str) -> (BTreeMap<String, (usize, usize)>, usize) {
    let number = |text: &str| text.split(' ').find_map(|word| word.parse::<usize>().ok()).expect("a number");
    let (mut all, mut unnamed, mut name) = (BTreeMap::new(), 0, String::new());
    for line in comment.lines() {
        if let Some(rest) = line.strip_prefix("#### <code>") {
            name = rest.split_once("</code>").expect("it ends").0.replace("&#45;", "-");
            all.insert(name.clone(), (0, 0));
        } else if line.starts_with("| <code>") {
            all.get_mut(&name).expect("a heading").0 += 1;
        } else if let Some(rest) = line.strip_prefix("| **and ") {
            all.get_mut(&name).expect("a heading").1 += number(rest);
        } else if let Some((_, rest)) = line.split_once("more sandbox") {
            unnamed += number(rest);
        }
    }
    (all, unnamed)
}

fn holds(sizes: &[(usize, usize)], long: bool) {
    let rule = |number: usize| grant(&format!("net * h{number}.example:443"));
    let rules: Vec<Noted> =
        (0..sizes.iter().map(|(wide, narrow)| *wide.max(narrow)).max().unwrap_or(0)).map(rule).collect();
    let name = |at: usize| if long { format!("{}{at}", "a-b-".repeat(15)) } else { format!("s{at}") };
    let steps = sizes.iter().enumerate().map(|(at, (wide, narrow))| {
        let mut grants = rules[..*wide].to_vec();
        grants.push(grant("net * **.evil.example:443"));
        step(&name(at), grants, rules[..*narrow].to_vec())
    });
    let warnings = vec!["registry:npm → elsewhere [a](b) ".repeat(20); if long { 12 } else { 0 }];
    let comment = shown(steps.collect(), &warnings);
    assert!(comment.chars().count() < MARKDOWN_MAX, "{}", comment.chars().count());
    let (all, unnamed) = counted(&comment);
    assert_eq!((all.len(), unnamed), (sizes.len(), 0), "each is named: {comment}");
    for (at, (wide, narrow)) in sizes.iter().enumerate() {
        let (rows, left) = all[&name(at)];
        assert_eq!(rows + left, wide + 1 + narrow, "{}: {comment}", name(at));
    }
    // What is widest is seen wherever anything is.
    assert_eq!(comment.matches("evil&#46;example").count(), sizes.len(), "{comment}");
}

#[test]
fn what_is_left_out_is_counted() {
    for sizes in [
        &[(640, 0)][..],
        &[(900, 0)],
        &[(400, 0); 3],
        &[(1, 0), (2000, 2000), (1, 1)],
        &[(300, 300); 50],
        &[(2000, 0); 50],
        &[(1, 0); 50],
    ] {
        holds(sizes, false);
        holds(sizes, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_left_out_with_it(
        sizes in prop::collection::vec((1..2_000_usize, prop_oneof![Just(0), 1..500_usize]), 1..50),
        long in any::<bool>(),
    ) {
        holds(&sizes, long);
    }
}

#[test]
fn what_has_no_room_at_all_is_counted() {
    let steps = (0..2_000).map(|at| step(&format!("s{at}"), vec![grant("port 3000"); 2], Vec::new()));
    let mut steps: Vec<Planned> = steps.collect();
    steps.push(step("wide", vec![grant("net * **.evil.example:443")], Vec::new()));
    let comment = shown(steps, &[]);
    assert!(comment.chars().count() < MARKDOWN_MAX);
    let (all, unnamed) = counted(&comment);
    assert!(all.len() > 100 && all.contains_key("wide"), "{} are named", all.len());
    assert_eq!(all.values().map(|(rows, left)| rows + left).sum::<usize>() + unnamed, 4_001);
    let more = format!("**{} more sandboxes with {unnamed} grants are not shown", 2_001 - all.len());
    assert!(comment.contains(&more), "{comment}");
}

#[test]
fn no_path_hides_what_is_widest() {
    let hostile = |number: usize| {
        let mut noted = grant(&format!("mount /{}{number} write", "-_".repeat(200)));
        noted.file = Some("♥".repeat(4_000));
        noted
    };
    let steps = (0..50).map(|at| step(&format!("s{at}"), (0..20).map(hostile).collect(), Vec::new()));
    let comment = shown(steps.collect(), &[]);
    let (all, _) = counted(&comment);
    assert!(comment.chars().count() < MARKDOWN_MAX);
    for (name, (rows, left)) in all {
        assert!(rows > 0 && rows + left == 20, "{name}: {rows} and {left}");
    }
}
