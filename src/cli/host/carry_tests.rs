//! What becomes of a sandbox in which somebody works, whose keeper hangs, or that is left alone. Its keeper has no
//! machine.

use std::{thread, time::Instant};

use serde_json::json;

use super::*;
use crate::{
    cli::{
        condition::Awaited,
        host::approval::tests::{FILE, Silent, Stage, approve_all, make, proposal},
        ops::{Answer, Approvals, Machines, Plans, Source},
        tests::keeper::FakeKeeper,
    },
    model::progress::Unfinished,
    plan::{Action, Reason},
    reconcile::World,
};

/// A sandbox that runs as its file said, and its keeper.
struct Scene {
    stage: Stage,
    host: Host,
    record: Record,
    keeper: FakeKeeper,
}

/// The file with a restart field, and without its rule.
fn changed() -> String {
    let (head, _) = FILE.split_once("  network").expect("it has rules");
    format!("{head}  env: {{A: b}}\n")
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new();
        let host = stage.host("web");
        approve_all(&host);
        let record = make(&host);
        let keeper = FakeKeeper::of(&host.store, &record.id, &stage.root.join("run"));
        Self { stage, host, record, keeper }
    }

    fn record(&self) -> Record {
        self.host.store.load(&self.record.id).unwrap()
    }

    fn step(&self) -> Planned {
        proposal(&self.host, &Source::Search).plan.unwrap().steps.remove(0)
    }

    fn apply(&self) -> Vec<SandboxStatus> {
        let proposal = proposal(&self.host, &Source::Search);
        Plans::apply(&self.host, &proposal, &Wish::default(), &Silent).unwrap()
    }

    fn has(&self, condition: &str) -> bool {
        let awaited: Awaited = condition.parse().unwrap();
        awaited.holds(&self.host.status_of(&self.record()).unwrap())
    }
}

#[test]
fn somebody_who_works_holds_a_restart_back_and_nothing_else() {
    let scene = Scene::new();
    scene.keeper.open("exec", "bash");
    scene.stage.write("web/sandbox.yaml", &changed());
    let waits = Reason::Busy { sessions: 1, then: Action::Restart };
    assert_eq!((scene.step().action, scene.step().reasons), (Action::UpdateLive, vec![waits.clone()]));
    let statuses = scene.apply();
    assert_eq!(statuses[0].sessions[0].program, "bash");
    assert!(scene.has("Busy") && scene.has("Stalled") && scene.has("Ready"));
    let desired = scene.record().desired;
    assert!(desired.network.rules.is_empty() && desired.env.is_empty(), "what tightens is live");
    assert_eq!(scene.keeper.orders(), ["POST /v1/policy/reload", "POST /v1/ports/reload"]);
    assert_eq!((scene.step().action, scene.step().reasons), (Action::Nothing, vec![waits]));
    // The break: without the session it is started anew.
    scene.keeper.set("sessions", json!([]));
    assert_eq!(scene.step().action, Action::Restart);
    // The file is as it was: nothing waits any more.
    scene.keeper.open("exec", "bash");
    scene.stage.write("web/sandbox.yaml", &changed().replace("  env: {A: b}\n", ""));
    scene.apply();
    assert!(!scene.has("Stalled"));
}

#[test]
fn the_end_of_the_last_session_is_awaited() {
    let scene = Scene::new();
    scene.keeper.open("attach", "claude");
    let keeper = scene.keeper.clone();
    let leaving = thread::spawn(move || {
        keeper.await_question("GET /v1/idle");
        keeper.set("sessions", json!([]));
    });
    scene.host.await_idle(&[(scene.record.id.clone(), String::new())], &Silent).unwrap();
    leaving.join().unwrap();
    assert!(scene.host.observed(&scene.record.owner).unwrap().sessions.is_empty());
}

#[test]
fn a_keeper_that_hangs_costs_one_time_limit_and_its_sessions_are_unknown() {
    let scene = Scene::new();
    let status = scene.host.statuses_of(std::slice::from_ref(&scene.record)).unwrap().remove(0);
    let life = scene.host.store.sandbox(&scene.record.id).lock_life().unwrap().unwrap();
    scene.host.store.sandbox(&scene.record.id).write_status(&status, &life).unwrap();
    scene.keeper.hang();
    scene.stage.write("web/sandbox.yaml", &changed());
    let begun = Instant::now();
    let step = scene.step();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(step.reasons, [Reason::SessionsUnknown { then: Action::Restart }]);
    let status = scene.host.status_of(&scene.record).unwrap();
    assert!((status.silent, status.phase) == (true, Phase::Running), "{status:?}");
    assert!(scene.has("!Ready") && scene.has("Stalled"));
}

#[test]
fn a_suspended_sandbox_is_left_alone_by_files_and_not_by_people() {
    let scene = Scene::new();
    let found = scene.host.found(&scene.record).unwrap();
    scene.host.suspend(&found, true).unwrap();
    scene.stage.write("web/sandbox.yaml", &changed());
    assert_eq!((scene.step().action, scene.step().reasons), (Action::Nothing, vec![Reason::Suspended]));
    scene.apply();
    assert_eq!(scene.record().desired, scene.record.desired, "not even what tightens");
    assert_eq!(scene.keeper.orders(), Vec::<String>::new());
    assert!(scene.has("Suspended"));
    // Whoever withdraws an approval means this one too, and nothing else of the file.
    let inbox = Approvals::inboxes(&scene.host, Some("dev")).unwrap().remove(0);
    let grant = ["net * a.example:443".to_owned()];
    scene.host.answer(&inbox, &grant, &Answer::Reject, &Silent).unwrap();
    let desired = scene.record().desired;
    assert!(desired.network.rules.is_empty() && desired.env.is_empty());
    assert_eq!(scene.keeper.orders().len(), 2);
    scene.host.suspend(&found, false).unwrap();
    assert!(!scene.has("Suspended"));
    assert_eq!(scene.step().action, Action::Restart);
}

/// The file with one rule more.
fn wider() -> String {
    FILE.replace("first}", "first}, {allow: \"new.example:443\", why: tests}")
}

#[test]
fn a_running_sandbox_hears_what_waits_and_what_was_answered() {
    let scene = Scene::new();
    scene.stage.write("web/sandbox.yaml", &wider());
    let told = || {
        let policy = scene.host.effective(Some(&scene.record()), None).unwrap();
        let idle: Vec<String> =
            policy.parked.iter().map(|it| format!("{} {}", it.place(), it.idle)).collect();
        (scene.keeper.orders().len(), idle)
    };
    assert_eq!(told(), (0, vec![]));
    scene.apply();
    let place = "sandbox.yaml:";
    let (orders, idle) = told();
    assert_eq!(orders, 2, "as after every change of the file: its policy and its ports");
    assert!(
        idle.len() == 1 && idle[0].starts_with(place) && idle[0].ends_with("waits for approval"),
        "{idle:?}"
    );
    // The same again says nothing new.
    scene.apply();
    assert_eq!(told().0, 2);
    let inbox = Approvals::inboxes(&scene.host, Some("dev")).unwrap().remove(0);
    let grant = ["net * new.example:443".to_owned()];
    scene.host.answer(&inbox, &grant, &Answer::Reject, &Silent).unwrap();
    let (orders, idle) = told();
    assert!(orders == 3 && idle[0].ends_with("rejected"), "{orders} {idle:?}");
    scene.host.answer(&inbox, &grant, &Answer::Approve { until: None }, &Silent).unwrap();
    assert_eq!(told().1, Vec::<String>::new());
    assert_eq!(scene.record().desired.network.rules.len(), 2);
}

/// What a path leads to can change between two starts.
#[test]
fn a_folder_that_became_a_secret_one_keeps_the_sandbox_down() {
    let scene = Scene::new();
    let (shared, secret) = (scene.stage.root.join("web/data"), scene.stage.root.join("home/.ssh"));
    std::fs::create_dir(&secret).unwrap();
    std::os::unix::fs::symlink(&secret, &shared).unwrap();
    let mut desired = scene.record.desired.clone();
    desired.mounts = vec![
        serde_json::from_value(json!({
            "source": shared, "target": "/data", "access": "read", "why": "data",
            "origin": {"layer": "repository", "file": "sandbox.yaml", "line": 7},
        }))
        .unwrap(),
    ];
    scene.host.store.update(&scene.record.id, scene.record.generation, desired).unwrap();
    scene.keeper.set("phase", json!("stopped"));
    let found = scene.host.found(&scene.record()).unwrap();
    let refused = Machines::start(&scene.host, &found, &Silent).unwrap_err();
    assert_eq!((refused.exit_code(), refused.code(), refused.object().line), (4, "mount_denied", Some(7)));
    assert!(scene.has("PolicyDenied"));
}

#[test]
fn what_kept_the_last_pass_is_forgotten_when_the_next_succeeds() {
    let scene = Scene::new();
    let failed = obstacle(&Failure::new(Kind::HostLacks, "secret_missing", "secret `x` has no value"));
    scene.host.obstruct(&scene.record, failed).unwrap();
    assert!(scene.has("SecretMissing"));
    scene.apply();
    assert!(scene.has("!SecretMissing") && scene.has("!Stalled"));
}

#[test]
fn who_waits_tries_again_what_may_work_by_itself() {
    let apply = |wait: bool, refused: u32| {
        let scene = Scene::new();
        scene.stage.write("web/sandbox.yaml", &changed().replace("  env: {A: b}\n", ""));
        scene.keeper.refuse(refused);
        let wish = Wish { wait, ..Wish::default() };
        let proposal = proposal(&scene.host, &Source::Search);
        let applied = Plans::apply(&scene.host, &proposal, &wish, &Silent);
        let left = scene.record().unfinished.is_some();
        (applied.map_err(|failure| failure.code().to_owned()).err(), left, scene.has("Failed"))
    };
    assert_eq!(apply(true, 1), (None, false, false));
    assert_eq!(apply(false, 1), (Some("not_in_force".to_owned()), true, true));
    // It gives up in the end, with what it met.
    assert_eq!(apply(true, TRIES), (Some("not_in_force".to_owned()), true, true));
}

#[test]
fn a_condition_is_awaited_by_what_changes_in_the_sandboxs_folder() {
    let scene = Scene::new();
    let found = scene.host.found(&scene.record).unwrap();
    let awaited: Awaited = "Suspended".parse().unwrap();
    let (keeper, store, id) = (scene.keeper.clone(), scene.host.store.clone(), scene.record.id.clone());
    let other = thread::spawn(move || {
        // It has looked once, and found nothing.
        keeper.await_question("GET /v1/end");
        store.suspend(&id, Some("2026-01-02T03:04:05Z")).unwrap();
    });
    let reached = scene.host.await_status(&found, &|status| awaited.holds(status), Duration::from_secs(60));
    assert!(reached.unwrap().is_some());
    other.join().unwrap();
    let never = scene.host.await_status(&found, &|_| false, Duration::from_millis(1));
    assert_eq!(never.unwrap(), None);
}

#[test]
fn a_pass_takes_nothing_back_that_another_has_noted_meanwhile() {
    let scene = Scene::new();
    let (store, id, planned) = (&scene.host.store, &scene.record.id, scene.record.generation);
    let generations = [(id.clone(), planned)].into();
    let mut hands = Hands { host: &scene.host, owner: &scene.record.owner, generations, on: &Silent };
    let mut desired = scene.record.desired.clone();
    desired.env.insert("A".to_owned(), "b".to_owned());
    let theirs = store.update_until(id, planned, desired, Some(Unfinished::Stop)).unwrap();
    for late in [hands.reach(id, None), hands.orphan(id)] {
        assert_eq!(late.unwrap_err().code(), "stale");
    }
    assert_eq!(scene.record(), theirs);
    // Its own work it may note, as far as it has come.
    hands.generations.insert(id.clone(), theirs.generation);
    hands.reach(id, None).unwrap();
    assert_eq!(scene.record().unfinished, None);
}
