use super::*;
use crate::{
    model::rule::{Addresses, During, Effect, HostPattern, Ports},
    template::{fixture::*, progress::Silent},
};

fn step(run: &str) -> BuildStep {
    BuildStep { run: run.to_owned(), origin: Origin { layer: RuleLayer::Repository, file: None, line: None } }
}

fn keys(image: &str, steps: &[&str], kernel: &str, policy: &str) -> Vec<String> {
    let steps: Vec<BuildStep> = steps.iter().map(|run| step(run)).collect();
    plan(image, &steps, kernel, policy).into_iter().map(|planned| planned.key).collect()
}

#[test]
fn a_changed_step_keeps_the_layers_below_it() {
    let before = keys("i", &["one", "two", "three"], "6.1", "p");
    let after = keys("i", &["one", "two", "four"], "6.1", "p");
    assert_eq!((&before[..2], before[2] == after[2]), (&after[..2], false));
    for other in [
        keys("j", &["one"], "6.1", "p"),
        keys("i", &["one"], "6.2", "p"),
        keys("i", &["one"], "6.1", "q"),
        keys("i", &["two"], "6.1", "p"),
        keys("i1", &["one"], ".1", "p"),
    ] {
        assert_ne!(other[0], before[0]);
    }
    assert!(keys("i", &[], "6.1", "p").is_empty());
}

#[test]
fn steps_beyond_the_bound_run_with_the_last() {
    let steps: Vec<BuildStep> = (0..LAYERS_MAX + 5).map(|number| step(&number.to_string())).collect();
    let planned = plan("i", &steps, "k", "p");
    let last = planned.last().unwrap();
    assert_eq!((planned.len(), last.first, last.steps.len()), (LAYERS_MAX, LAYERS_MAX, 6));
    assert_eq!(planned[1].below, planned[0].key);
}

#[test]
fn a_policy_is_what_it_permits_and_not_how_it_is_written() {
    let rule = |id: &str, host: &str, effect, why: &str, line| NetworkRule {
        until: None,
        id: id.into(),
        effect,
        host: HostPattern::Exact(host.into()),
        ports: Ports::one(443),
        protocol: None,
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: why.into(),
        origin: Origin { layer: RuleLayer::Repository, file: None, line },
    };
    let one = rule("1", "a.test", Effect::Allow, "x", Some(1));
    let two = rule("2", "b.test", Effect::Deny, "y", Some(2));
    let moved = rule("7", "a.test", Effect::Allow, "another reason", None);
    let key = policy_key(&[one.clone(), two.clone()], &[]);
    assert_eq!(key, policy_key(&[two.clone(), moved], &[]));
    for other in [vec![one.clone()], vec![two], vec![rule("1", "a.test", Effect::Deny, "x", Some(1))]] {
        assert_ne!(key, policy_key(&other, &[]));
    }
}

#[test]
fn a_disk_becomes_a_layer_whole_or_not_at_all() {
    let (_fake, folder) = debian();
    let cache = open(&folder);
    // What a killed command left is shown before it goes.
    let left = cache.root().join("building").join("bench-left");
    fs::create_dir(&left).unwrap();
    cache.sweep().unwrap();
    assert!(left.exists(), "a machine may still stand on it");
    let shown = std::cell::RefCell::new(Vec::new());
    let bench = cache.bench(&Silent, &|left| shown.borrow_mut().push(left.to_owned())).unwrap();
    assert_eq!((shown.into_inner(), left.exists()), (vec![left], false));
    let planned = plan("i", &[step("make")], "k", "p").remove(0);
    let disk = bench.folder().join("system.img");
    for bad in [ext4(false), vec![0; 4096]] {
        fs::write(&disk, bad).unwrap();
        assert!(matches!(bench.keep(&disk, &planned), Err(EnsureError::Unclean)));
    }
    fs::write(&disk, ext4(true)).unwrap();
    let layer = bench.keep(&disk, &planned).unwrap();
    assert_eq!((layer.record().steps.as_slice(), disk.exists()), (["make".to_owned()].as_slice(), false));
    assert!(bench.keep(&disk, &planned).is_err(), "there is nothing to keep");
    drop(bench);
    assert_eq!(left_over(&cache), 0);
    let layer = Layer::find(&cache, &planned.key).unwrap();
    fs::write(layer.disk(), "cut short").unwrap();
    assert!(Layer::find(&cache, &planned.key).is_none());
}

#[test]
fn whereto_the_operator_leads_a_step_is_part_of_its_key() {
    let policy = policy_key(&[], &[]);
    let led = |entries: &[(&str, &str)], authorities: &[&str]| {
        let resolve = entries.iter().map(|(name, to)| ((*name).to_owned(), to.parse().unwrap())).collect();
        let authorities: Vec<String> = authorities.iter().map(|it| (*it).to_owned()).collect();
        surroundings_key(&policy, &resolve, &authorities)
    };
    assert_eq!(led(&[], &[]), policy, "who configures nothing has the keys of before");
    let all = [
        led(&[], &[]),
        led(&[("a.test:443", "127.0.0.1:1")], &[]),
        led(&[("a.test:443", "127.0.0.1:2")], &[]),
        led(&[("b.test:443", "127.0.0.1:1")], &[]),
        led(&[], &["one"]),
        led(&[], &["two"]),
        led(&[("a.test:443", "127.0.0.1:1")], &["one"]),
    ];
    let different: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}
