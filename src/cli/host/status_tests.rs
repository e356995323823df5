use serde_json::{Value, json};

use super::*;
use crate::{
    model::{
        desired::Sandbox,
        name::SandboxId,
        progress::{Obstacle, Obstructed, Unfinished},
    },
    store::Owner,
};

fn record() -> Record {
    Record {
        id: SandboxId::from_bytes([7; 6]),
        name: "dev".parse().unwrap(),
        owner: Owner::Folder { path: "/src/web".into(), dev: 1, ino: 1, born: None },
        generation: 1,
        created_at: String::new(),
        desired: Sandbox::smallest("dev"),
        unfinished: None,
        orphaned_since: None,
        suspended_since: None,
        obstructed: None,
    }
}

/// The conditions as `Condition/Reason`.
#[track_caller]
fn check(record: &Record, status: Value, expected: &[&str]) {
    let mut whole = json!({"name": "dev", "id": "070707070707", "agent": "shell", "phase": "running"});
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    let status = serde_json::from_value(whole).unwrap();
    let word = |it: Condition| match it.reason {
        Some(reason) => format!("{}/{reason}", it.condition),
        None => it.condition,
    };
    let found: Vec<String> = conditions(record, &status, 0).into_iter().map(word).collect();
    assert_eq!(found, expected, "{status:?}");
}

#[test]
fn a_sandbox_is_ready_when_its_setup_has_ended() {
    let it = record();
    let setup = |state: &str| json!({"setup": {"state": state, "index": 1, "total": 1, "step": "npm ci"}});
    check(&it, json!({}), &["Ready"]);
    check(&it, setup("running"), &["Reconciling"]);
    check(&it, setup("done"), &["Ready"]);
    check(&it, setup("failed"), &["Stalled/SetupFailed"]);
    check(&it, json!({"phase": "starting"}), &["Reconciling"]);
    check(&it, json!({"phase": "stopped"}), &[]);
    check(&it, json!({"phase": "failed"}), &["Stalled/Failed"]);
    // A keeper that hangs vouches for nothing.
    check(&it, json!({"silent": true}), &["Stalled/Failed"]);
}

#[test]
fn what_keeps_a_sandbox_from_its_file_has_the_contracts_word() {
    let mut it = record();
    it.obstructed = Some(Obstructed { by: Obstacle::Busy, message: "why".to_owned() });
    let session = json!({"sessions": [{"kind": "exec", "program": "sh", "since": ""}]});
    check(&it, session.clone(), &["Ready", "Stalled/Busy"]);
    check(&it, json!({"silent": true}), &["Stalled/Busy"]);
    check(&it, json!({}), &["Ready", "Reconciling/Interrupted"]);
    it.suspended_since = Some(String::new());
    check(&it, session, &["Ready", "Suspended"]);
    it.suspended_since = None;
    for (by, expected) in [
        (Obstacle::SecretMissing, "Stalled/SecretMissing"),
        (Obstacle::TemplateFailed, "Stalled/TemplateFailed"),
        (Obstacle::HostLacks, "Stalled/HostLacks"),
        (Obstacle::PolicyDenied, "Stalled/PolicyDenied"),
        (Obstacle::Failed, "Stalled/Failed"),
    ] {
        it.obstructed = Some(Obstructed { by, message: "why".to_owned() });
        // It goes on as it was recorded.
        check(&it, json!({}), &["Ready", expected]);
        check(&it, json!({"phase": "failed"}), &[expected]);
    }
    it.obstructed = None;
    it.unfinished = Some(Unfinished::Stop);
    check(&it, json!({}), &["Reconciling/Interrupted"]);
    // A pass that came to its end was not interrupted.
    it.obstructed = Some(Obstructed { by: Obstacle::SecretMissing, message: String::new() });
    check(&it, json!({"phase": "stopped"}), &["Stalled/SecretMissing"]);
    it.obstructed = None;
    it.unfinished = None;
    (it.orphaned_since, it.suspended_since) = (Some(String::new()), Some(String::new()));
    check(&it, json!({"phase": "stopped"}), &["Stalled/Orphaned", "Suspended"]);
}

#[test]
fn a_task_is_told_when_it_runs_and_when_it_ended() {
    let it = record();
    let task =
        |state: &str, code: Option<u8>| json!({"task": {"state": state, "since": "", "exitCode": code}});
    check(&it, task("running", None), &["Ready", "TaskRunning"]);
    check(&it, task("succeeded", Some(0)), &["Ready", "TaskSucceeded"]);
    check(&it, task("failed", Some(3)), &["Ready", "TaskFailed"]);
    let mut gone = task("failed", None);
    gone["phase"] = json!("stopped");
    check(&it, gone, &["TaskFailed"]);
}

#[test]
fn a_failure_is_the_obstacle_that_the_contract_names() {
    for (kind, code, expected) in [
        (Kind::HostLacks, "secret_missing", Some(Obstacle::SecretMissing)),
        (Kind::Failed, "setup_failed", None),
        (Kind::Failed, "template_failed", Some(Obstacle::TemplateFailed)),
        (Kind::File, "unknown_package", Some(Obstacle::TemplateFailed)),
        (Kind::HostLacks, "memory", Some(Obstacle::HostLacks)),
        (Kind::Denied, "mount_denied", Some(Obstacle::PolicyDenied)),
        (Kind::TimedOut, "start", Some(Obstacle::Failed)),
    ] {
        let failure = Failure::new(kind, code, "x".repeat(9_000));
        let found = super::super::carry::obstacle(&failure);
        assert!(found.as_ref().is_none_or(|it| it.message.len() <= 500));
        assert_eq!(found.map(|it| it.by), expected, "{code}");
    }
}
