use super::*;
use crate::store::{UpdateError, file::tests::kill_after};

pub(in crate::store) fn owner(place: &str) -> Owner {
    Owner::Repository { path: Path::new(place).join(".git"), dev: 1, ino: place.len() as u64, born: None }
}

fn desired(name: &str) -> Sandbox {
    Sandbox::smallest(name)
}

pub(in crate::store) fn new(name: &str, place: &str) -> NewSandbox {
    let created_at = "2026-01-02T03:04:05Z".to_owned();
    NewSandbox { name: name.parse().unwrap(), owner: owner(place), created_at, desired: desired(name) }
}

pub(in crate::store) fn record(name: &str, place: &str) -> Record {
    let NewSandbox { name, owner, created_at, desired } = new(name, place);
    let id = SandboxId::from_bytes([7; 6]);
    Record {
        id,
        name,
        owner,
        generation: 1,
        created_at,
        desired,
        unfinished: None,
        orphaned_since: None,
        suspended_since: None,
        obstructed: None,
    }
}

pub(in crate::store) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn a_sandbox_is_made_listed_changed_and_removed() {
    let (_dir, store) = store();
    let made = store.create(new("dev", "/src/web")).unwrap();
    assert_eq!(store.load(&made.id).unwrap(), made);
    store.create(new("ci", "/src/web")).unwrap();
    let names: Vec<_> = store.list().unwrap().records.iter().map(|record| record.name.to_string()).collect();
    assert_eq!(names, ["ci", "dev"]);

    let mut wanted = made.desired.clone();
    wanted.resources.cpus = 4;
    let changed = store.update(&made.id, 1, wanted.clone()).unwrap();
    assert_eq!((changed.generation, changed.desired.resources.cpus), (2, 4));
    assert_eq!(
        store.update(&made.id, 2, wanted.clone()).unwrap().generation,
        2,
        "an equal state is no change"
    );
    assert!(matches!(
        store.update(&made.id, 1, wanted),
        Err(UpdateError::Stale { expected: 1, found: 2, .. })
    ));

    store.remove(&made.id).unwrap();
    assert!(matches!(store.load(&made.id), Err(StoreError::Gone(_))));
    assert!(matches!(store.remove(&made.id), Err(RemoveError::Store(StoreError::Gone(_)))));
    assert_eq!(store.list().unwrap().records.len(), 1);
}

#[test]
fn a_name_is_unique_for_its_owner_only() {
    let (_dir, store) = store();
    let first = store.create(new("dev", "/src/web")).unwrap();
    let refused = store.create(new("dev", "/src/web")).unwrap_err();
    assert_eq!(refused.to_string(), format!("/src/web has a sandbox `dev` already (id {})", first.id));
    store.create(new("dev", "/src/other")).unwrap();
    // Made at once by many, it is made once.
    let made = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..8).map(|_| scope.spawn(|| store.create(new("x", "/src/web")).is_ok())).collect();
        tries.into_iter().map(|made| made.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
}

#[test]
fn killed_at_any_step_a_sandbox_is_there_or_not() {
    let mut outcomes = [0, 0];
    for steps in 0..8 {
        let (dir, store) = store();
        let finished = store.create_with(new("dev", "/src/web"), &mut kill_after(steps)).is_ok();
        let listing = store.list().unwrap();
        assert!(listing.unreadable.is_empty(), "after {steps} steps");
        assert!(!finished || listing.records.len() == 1);
        outcomes[listing.records.len()] += 1;
        let again = store.create(new("dev", "/src/web"));
        assert_eq!(again.is_err(), listing.records.len() == 1, "after {steps} steps");
        assert_eq!(fs::read_dir(dir.path().join("sandboxes")).unwrap().count(), 1, "nothing is left beside");
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn killed_while_removing_a_sandbox_is_there_or_not() {
    for steps in 0..2 {
        let (dir, store) = store();
        let made = store.create(new("dev", "/src/web")).unwrap();
        fs::write(store.sandbox(&made.id).data_disk(), "x").unwrap();
        store.remove_with(&made.id, &mut kill_after(steps)).unwrap_err();
        assert!(store.list().unwrap().records.is_empty());
        assert!(store.list().unwrap().unreadable.is_empty());
        store.create(new("dev", "/src/web")).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("sandboxes")).unwrap().count(), 1);
    }
}

#[test]
fn a_living_sandbox_is_not_removed() {
    let (_dir, store) = store();
    let made = store.create(new("dev", "/src/web")).unwrap();
    let life = store.sandbox(&made.id).lock_life().unwrap().unwrap();
    assert!(matches!(store.remove(&made.id), Err(RemoveError::Alive(_))));
    assert_eq!(store.load(&made.id).unwrap(), made);
    drop(life);
    store.remove(&made.id).unwrap();
}

#[test]
fn a_damaged_record_is_named_and_hides_no_other() {
    let (_dir, store) = store();
    let broken = store.create(new("dev", "/src/web")).unwrap();
    let other = store.create(new("ci", "/src/web")).unwrap();
    for content in ["", "{}", r#"{"version":9}"#] {
        fs::write(store.sandbox(&broken.id).record(), content).unwrap();
        let listing = store.list().unwrap();
        assert_eq!(listing.records, std::slice::from_ref(&other));
        assert!(listing.unreadable[0].error.to_string().contains(broken.id.as_str()));
        assert!(matches!(store.create(new("new", "/src/web")), Err(CreateError::Store(_))));
    }
    // What its keeper noted says which names it does not have.
    let dir = store.sandbox(&broken.id);
    let life = dir.lock_life().unwrap().unwrap();
    dir.write_status(&broken.status(crate::model::status::Phase::Running), &life).unwrap();
    drop(life);
    for content in [Some("{"), None] {
        match content {
            Some(content) => fs::write(dir.record(), content).unwrap(),
            None => fs::remove_file(dir.record()).unwrap(),
        }
        let listing = store.list().unwrap();
        assert_eq!(listing.unreadable[0].name.as_ref(), Some(&broken.name), "{content:?}");
        assert!(matches!(store.create(new("dev", "/src/api")), Err(CreateError::Store(_))));
        let made = store.create(new("new", "/src/web")).unwrap();
        store.remove(&made.id).unwrap();
    }
    // A record under another's id does not answer for it.
    fs::copy(store.sandbox(&other.id).record(), store.sandbox(&broken.id).record()).unwrap();
    assert!(matches!(store.load(&broken.id), Err(StoreError::Damaged { .. })));
    // It can be removed, and its trail is kept under the name that is known.
    fs::create_dir(dir.audit()).unwrap();
    store.remove(&broken.id).unwrap();
    assert!(store.removed_trails().join(format!("dev-{}", broken.id)).is_dir());
    assert!(store.list().unwrap().unreadable.is_empty());
}
