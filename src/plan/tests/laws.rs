//! What holds for every input of the planner, and that the inputs are worth it: each thing that it can decide is decided
//! in many of them.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::planning::{allow, id, input, origin, running, sandbox};
use crate::{
    model::{
        desired::{IsolationWish, Sandbox, Start, Workspace, WorkspaceMode},
        name::Name,
        progress::Unfinished,
        status::Phase,
        unit::Bytes,
    },
    plan::{
        Action, Noted, PlanInput, Reason,
        facts::{Facts, Lack, Refusal, Unbuilt},
        grant::{Grant, GrantSet, Held, granted, restrict},
        input_from, input_text, make,
    },
};

fn any_sandbox() -> impl Strategy<Value = Sandbox> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let hosts =
        prop::collection::vec(prop::sample::select(vec!["x.example", "y.example", "z.example"]), 0..3);
    (name, hosts, 1..4_u8, 1..3_u64, any::<[bool; 5]>()).prop_map(|(name, hosts, cpus, disk, flags)| {
        let mut sandbox = sandbox(name);
        sandbox.network.rules = hosts.into_iter().map(allow).collect();
        sandbox.resources.cpus = cpus;
        sandbox.resources.disk = Bytes::gib(disk);
        if flags[0] {
            sandbox.template.packages.push("jq".to_owned())
        }
        if flags[1] {
            sandbox.start = Start::OnDemand
        }
        if flags[2] {
            sandbox.isolation = IsolationWish::EmulationOk
        }
        if flags[4] && cpus == 1 {
            let (path, mode) = ("/home/ann/web".into(), WorkspaceMode::Direct);
            sandbox.workspace = Some(Workspace { path, mode, origin: origin(3) });
        }
        if flags[3] {
            sandbox.env.extend([("A".to_owned(), cpus.to_string())])
        }
        sandbox
    })
}

fn any_input() -> impl Strategy<Value = PlanInput> {
    let desired = prop::collection::vec(any_sandbox(), 0..4);
    let observed = prop::collection::vec((any_sandbox(), any::<[bool; 5]>(), 0..3_u32), 0..4);
    (desired, observed, any::<[bool; 6]>()).prop_map(|(desired, observed, flags)| {
        let unique = |all: Vec<Sandbox>| -> Vec<Sandbox> {
            let by_name: BTreeMap<Name, Sandbox> = all.into_iter().map(|it| (it.name.clone(), it)).collect();
            by_name.into_values().collect()
        };
        let mut made = input(unique(desired), Vec::new());
        if flags[0] {
            made.approvals.definitions.retain(|name, _| name.as_str() != "a")
        }
        if flags[3] {
            refuse(&mut made, "b", flags[4]);
        }
        if flags[5] {
            let lack = Lack::Isolation { message: "this host has no /dev/kvm".to_owned(), hint: None };
            let facts = Facts { lacks: vec![lack], unbuilt: Unbuilt { packages: 1, steps: 0 } };
            made.facts = made.desired.iter().map(|it| (it.name.clone(), facts.clone())).collect();
        }
        made.now = flags[1];
        made.prune = flags[2];
        for (number, (mut sandbox, [stopped, suspended, alike, interrupted, silent], sessions)) in
            observed.into_iter().enumerate()
        {
            if made.observed.iter().any(|it| it.recorded.name == sandbox.name) {
                continue;
            }
            // Often all of it is as it shall be: then nothing else hides what the planner makes of the rest.
            if let Some(wanted) = made.desired.iter().find(|it| alike && it.name == sandbox.name) {
                sandbox = wanted.clone();
            } else if sandbox.resources.cpus == 3 {
                sandbox.provenance.file = Some("/home/ann/web/old.yaml".into());
            }
            let number = u8::try_from(number).unwrap_or_default();
            if suspended && sessions == 0 {
                made.suspended.insert(id(number));
            }
            let mut it = running(&sandbox, number);
            it.unfinished = interrupted.then_some(Unfinished::Stop);
            if stopped {
                it.phase = Phase::Stopped
            } else {
                made.sessions.insert(id(number), sessions);
                if silent && sessions == 2 {
                    made.silent.insert(id(number));
                }
            }
            made.observed.push(it);
        }
        made
    })
}

/// Refuses all grants of a definition, or those that can be left out.
fn refuse(input: &mut PlanInput, name: &str, some: bool) {
    let Some(wanted) = input.desired.iter().find(|it| it.name.as_str() == name) else { return };
    let grants = granted(wanted, &input.ground).into_iter().map(|it| it.grant);
    let (kept, refused): (Vec<Grant>, Vec<Grant>) =
        grants.partition(|grant| some && !matches!(grant, Grant::Net(_)));
    let answer = Refusal { id: "0".into(), by: "ann".into(), at: "2026-01-01T00:00:00Z".into() };
    let refused = refused.into_iter().map(|grant| (grant.to_string(), answer.clone())).collect();
    input.approvals.rejected.insert(wanted.name.clone(), refused);
    input.approvals.definitions.insert(wanted.name.clone(), kept.into_iter().collect());
}

/// The world as it is when a plan was carried out.
fn carried_out(input: &PlanInput) -> PlanInput {
    let mut next = input.clone();
    for step in make(input).steps {
        let at = next.observed.iter().position(|it| it.recorded.name == step.name);
        match (step.action, at, step.wanted) {
            (Action::Nothing, ..) => {}
            (Action::Orphan, Some(at), _) => {
                next.observed[at].phase = Phase::Stopped;
                next.observed[at].orphaned = true;
            }
            (Action::Remove, Some(at), _) => {
                next.observed.remove(at);
            }
            (_, Some(at), Some(wanted)) => {
                next.observed[at].recorded = *wanted;
                next.observed[at].unfinished = None;
                next.observed[at].orphaned = false;
                next.observed[at].phase = Phase::Running;
                next.observed[at].generation += 1;
            }
            (_, None, Some(wanted)) => {
                let number = u8::try_from(100 + next.observed.len()).unwrap_or_default();
                next.observed.push(running(&wanted, number));
            }
            (action, ..) => panic!("{action:?} without what it needs"),
        }
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planning_the_planned_state_is_empty(input in any_input()) {
        let again = make(&carried_out(&input));
        prop_assert!(!again.changes_something(), "{again:#?}");
    }

    #[test]
    fn the_order_of_documents_changes_nothing(input in any_input()) {
        let mut turned = input.clone();
        turned.desired.reverse();
        turned.observed.reverse();
        prop_assert_eq!(make(&turned), make(&input));
    }

    #[test]
    fn nothing_is_recorded_that_is_not_approved(input in any_input()) {
        for step in make(&input).steps {
            let Some(wanted) = step.wanted else { continue };
            let approved = input.approvals.definitions.get(&wanted.name).map(Held::whole).unwrap_or_default();
            // What it has already, and loses only with a restart that waits, is no news.
            let has = input.observed.iter().find(|it| it.recorded.name == wanted.name);
            let has = has.into_iter().flat_map(|it| granted(&it.recorded, &input.ground)).map(|it| it.grant);
            let busy = step.reasons.iter().any(|reason| matches!(reason, Reason::Busy { .. } | Reason::SessionsUnknown { .. }));
            let approved = if busy { approved.union(&has.collect()) } else { approved };
            let restricted = restrict(&wanted, &approved, &input.ground);
            prop_assert!(restricted.parked.is_empty(), "{}", restricted.parked);
        }
    }

    #[test]
    fn what_a_step_widens_and_narrows_it_names(input in any_input()) {
        let set = |sandbox: &Sandbox| -> GrantSet {
            granted(sandbox, &input.ground).into_iter().map(|it| it.grant).collect()
        };
        let named = |noted: &[Noted]| -> GrantSet { noted.iter().map(|it| it.grant.clone()).collect() };
        for step in make(&input).steps {
            let Some(wanted) = &step.wanted else { continue };
            let has = input.observed.iter().find(|it| it.recorded.name == step.name);
            let (before, after) = (has.map(|it| set(&it.recorded)).unwrap_or_default(), set(wanted));
            prop_assert_eq!(named(&step.grants), before.missing(&after));
            prop_assert_eq!(named(&step.narrows), after.missing(&before));
        }
    }

    #[test]
    fn a_refusal_changes_what_is_asked_and_nothing_that_is_done(input in any_input()) {
        let mut unanswered = input.clone();
        unanswered.approvals.rejected.clear();
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        for (step, before) in make(&input).steps.iter().zip(make(&unanswered).steps) {
            prop_assert_eq!((step.action, &step.wanted), (before.action, &before.wanted));
            let refused = input.approvals.rejected.get(&step.name);
            let is_refused = |text: &String| refused.is_some_and(|refused| refused.contains_key(text));
            let parked: Vec<String> = step.parked.iter().map(|it| it.grant.to_string()).collect();
            let rejected: Vec<String> = step.rejected.iter().map(|it| it.asked.grant.to_string()).collect();
            prop_assert!(!parked.iter().any(is_refused) && rejected.iter().all(is_refused));
            let asked = before.parked.iter().map(|it| it.grant.to_string()).collect();
            prop_assert_eq!(sorted([parked, rejected].concat()), sorted(asked));
        }
    }

    #[test]
    fn what_a_host_lacks_changes_nothing_that_is_done(input in any_input()) {
        let mut elsewhere = input.clone();
        elsewhere.facts.clear();
        let (here, there) = (make(&input), make(&elsewhere));
        prop_assert!(here.deeds().eq(there.deeds()));
        for step in here.steps.iter().filter(|step| !step.would_start()) {
            prop_assert!(step.lacks.is_empty() && step.builds.is_empty());
        }
    }

    #[test]
    fn nobody_is_asked_about_what_cannot_change(input in any_input()) {
        for step in make(&input).steps {
            let Some(it) = input.observed.iter().find(|it| it.recorded.name == step.name) else { continue };
            let has: GrantSet = granted(&it.recorded, &input.ground).into_iter().map(|it| it.grant).collect();
            let asked = step.parked.iter().map(|noted| &noted.grant);
            let mut fixed = asked.filter(|grant| matches!(grant, Grant::Workspace { .. }));
            prop_assert!(fixed.all(|grant| has.covers(grant)), "{:?}", step.parked);
        }
    }

    #[test]
    fn a_saved_input_plans_the_same(input in any_input()) {
        let saved = input_from(input_text(&input).as_bytes()).expect("it was just written");
        prop_assert_eq!(make(&saved), make(&input));
    }
}

/// A name for what was decided about a sandbox.
fn decided(reason: &Reason) -> String {
    let text = serde_json::to_value(reason).unwrap_or_default();
    text["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_inputs_bring_every_decision_about_often() {
    let mut runner = TestRunner::deterministic();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..800 {
        let input = any_input().new_tree(&mut runner).expect("nothing is filtered").current();
        for step in make(&input).steps {
            *counts.entry(format!("{:?}", step.action)).or_default() += 1;
            step.reasons.iter().for_each(|reason| *counts.entry(decided(reason)).or_default() += 1);
        }
    }
    let kinds: Vec<&str> =
        counts.iter().filter(|(_, count)| **count >= 5).map(|(kind, _)| kind.as_str()).collect();
    let expected = [
        "Create",
        "Nothing",
        "Orphan",
        "Remove",
        "Replace",
        "Restart",
        "Start",
        "UpdateLive",
        "busy",
        "createOnly",
        "definitionMoved",
        "inSync",
        "orphaned",
        "parked",
        "refused",
        "rejected",
        "sessionsUnknown",
        "startOnDemand",
        "suspended",
        "unfinished",
        "waitingForApproval",
    ];
    for kind in expected {
        assert!(kinds.contains(&kind), "{kind} is hardly ever decided: {counts:?}");
    }
}

/// The breaks: executors that carry a plan out otherwise than it says leave something to do, or to say.
#[test]
fn a_plan_that_was_not_carried_out_is_found_out() {
    let mut runner = TestRunner::deterministic();
    let (mut unfinished, mut loud) = (0, 0);
    for _ in 0..200 {
        let input = any_input().new_tree(&mut runner).expect("nothing is filtered").current();
        let mut half = carried_out(&input);
        // What was written stays as it was before.
        for it in &mut half.observed {
            let before = input.observed.iter().find(|before| before.id == it.id);
            it.recorded = before.map_or_else(|| it.recorded.clone(), |before| before.recorded.clone());
        }
        loud += usize::from(make(&input).changes_something());
        unfinished += usize::from(make(&half).changes_something());
    }
    assert!(loud > 100 && unfinished > 15, "{loud} plans change something, {unfinished} were left undone");
}
