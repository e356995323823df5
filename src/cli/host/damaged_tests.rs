//! What one damaged file of the state directory costs, and whom.

use std::{fs, path::PathBuf};

use super::*;
use crate::{
    cli::{
        condition::Awaited,
        host::approval::tests::{FILE, Stage, approve_all, make, proposal},
        ops::{Approvals, Machines, Plans, Source, Wish},
        tests::keeper::FakeKeeper,
    },
    store::Record,
};

/// The whole of a sandbox of the repository `web`, and a second repository that defines `ci`.
fn scene() -> (Stage, Host, Record) {
    let stage = Stage::new();
    stage.write("other/sandbox.yaml", &FILE.replace("name: dev", "name: ci"));
    let host = stage.host("web");
    approve_all(&host);
    let record = make(&host);
    let dir = host.store.sandbox(&record.id);
    let life = dir.lock_life().unwrap().unwrap();
    dir.write_status(&record.status(Phase::Stopped), &life).unwrap();
    (stage, host, record)
}

/// Leaves only the beginning of a file.
fn cut(path: PathBuf, bytes: usize) {
    let whole = fs::read(&path).unwrap();
    fs::write(path, &whole[..bytes]).unwrap();
}

/// The approvals of the repository in this folder.
fn approvals_of(stage: &Stage, folder: &str) -> PathBuf {
    let mut files = fs::read_dir(stage.root.join("state/policy")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| fs::read_to_string(path).unwrap().contains(&format!("/{folder}/.git"))).unwrap()
}

fn is_damaged(status: &SandboxStatus) -> bool {
    "Damaged".parse::<Awaited>().unwrap().holds(status)
}

#[test]
fn a_machine_whose_record_is_damaged_is_shown_and_can_be_ended() {
    let (stage, host, record) = scene();
    let id = record.id.as_str();
    let _keeper = FakeKeeper::of(&host.store, &record.id, &stage.root.join("run"));
    assert!(!host.is_damaged(id));
    cut(host.store.sandbox(&record.id).path().join("record.json"), 200);
    let status = Machines::list(&host, true).unwrap().remove(0);
    assert_eq!((status.name.as_str(), status.phase, is_damaged(&status)), ("dev", Phase::Running, true));
    let message = status.conditions[0].message.as_deref().unwrap();
    assert!(message.contains("record.json is damaged") && message.contains("EOF"), "{message}");
    assert!(message.contains(&format!("cofferdam rm {id} --force")), "{message}");
    // Nothing promises to make what is there.
    let refused = host.propose(&Source::Search, &Wish::default()).unwrap_err();
    assert_eq!((refused.exit_code(), refused.code()), (1, "state"));
    assert!(refused.object().hint.as_deref().unwrap().contains(id));
    assert_eq!(host.find("dev").unwrap_err().code(), "state");
    assert_eq!(host.propose_delete(&Source::Search).unwrap_err().code(), "state");
    // Whoever has another name is not concerned.
    let elsewhere = stage.host("other");
    assert_eq!(proposal(&elsewhere, &Source::Search).plan.unwrap().steps[0].id, None);
    assert!(host.is_damaged(id) && !host.is_damaged("dev"));
    host.end_damaged(id, false).unwrap();
    assert_eq!(Machines::list(&host, true).unwrap().len(), 1);
    host.end_damaged(id, true).unwrap();
    assert_eq!(Machines::list(&host, true).unwrap(), []);
    assert_eq!(proposal(&host, &Source::Search).plan.unwrap().steps[0].id, None);
}

#[test]
fn a_damaged_file_of_one_repository_stops_no_other() {
    let (stage, host, record) = scene();
    let elsewhere = stage.host("other");
    Plans::park(&elsewhere, &proposal(&elsewhere, &Source::Search)).unwrap();
    cut(approvals_of(&stage, "web"), 0);
    let statuses = Machines::list(&elsewhere, false).unwrap();
    assert!(is_damaged(&statuses[0]), "{statuses:?}");
    let waiting = Approvals::inboxes(&elsewhere, None).unwrap();
    assert_eq!(waiting.iter().map(|it| it.sandbox.as_str()).collect::<Vec<_>>(), ["ci"]);
    assert_eq!(proposal(&elsewhere, &Source::Search).changes[0].sandbox, "ci");
    // Here nothing counts as approved, and a name never means the other repository's definition.
    assert_eq!(host.propose(&Source::Search, &Wish::default()).unwrap_err().code(), "state");
    let refused = Approvals::inboxes(&host, Some("ci")).unwrap_err();
    assert!(refused.object().causes[0].contains("EOF"), "{refused:?}");
    // What its keeper noted last is not needed to remove it.
    cut(host.store.sandbox(&record.id).path().join("status.json"), 0);
    let status = Machines::list(&host, true).unwrap().remove(0);
    assert!(status.reason.as_deref().unwrap().contains("EOF"), "{status:?}");
    Machines::remove(&host, &host.find("dev").unwrap(), true).unwrap();
    assert_eq!(Machines::list(&host, true).unwrap(), []);
}

#[test]
fn a_sandbox_that_can_be_read_is_not_ended_as_a_damaged_one() {
    let (_stage, host, record) = scene();
    host.end_damaged(record.id.as_str(), true).unwrap();
    // One that can be read is no business of this.
    assert_eq!(host.find("dev").unwrap().id, record.id.as_str());
}
