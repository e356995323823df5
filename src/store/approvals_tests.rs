use super::*;
use crate::store::rules::key;
use crate::store::sandbox::tests::owner;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn approval(grant: &str, until: Option<&str>) -> Approval {
    let (grant, until) = (grant.to_owned(), until.map(str::to_owned));
    Approval {
        grant,
        by: "ann".into(),
        at: "2026-01-01T00:00:00Z".into(),
        how: How::Asked,
        commit: None,
        until,
    }
}

fn parked(grant: &str, since: &str) -> Parked {
    Parked { grant: grant.into(), why: "tests".into(), from: None, since: since.into(), commit: None }
}

fn rejection(grant: &str) -> Rejection {
    Rejection { grant: grant.into(), by: "ann".into(), at: "2026-01-02T00:00:00Z".into() }
}

fn in_force(store: &Store, place: &str, definition: &str) -> Vec<String> {
    let approvals = store.approvals(&owner(place)).unwrap();
    let found = approvals.definitions.get(definition).cloned().unwrap_or_default();
    found.in_force("2026-06-01T12:00:00.5Z").map(|approval| approval.grant.clone()).collect()
}

#[test]
fn an_approval_is_for_one_owner_and_one_definition() {
    let (_dir, store) = store();
    let approve = |definition: &mut Definition| definition.approve([approval("port 3000", None)]);
    store.edit_approvals(&owner("/src/web"), "dev", approve).unwrap();
    assert_eq!(in_force(&store, "/src/web", "dev"), ["port 3000"]);
    assert_eq!(in_force(&store, "/src/web", "ci"), Vec::<String>::new());
    assert_eq!(in_force(&store, "/src/api", "dev"), Vec::<String>::new());
    assert_eq!(store.all_approvals().unwrap().0.len(), 1);
}

/// The same path, another inode: somebody put another repository in its place.
#[test]
fn g04_a_repository_that_was_swapped_for_another_has_no_approvals() {
    let (dir, store) = store();
    let place = dir.path().join("web");
    std::fs::create_dir_all(place.join(".git/objects")).unwrap();
    std::fs::write(place.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let before = Owner::discover(&place).unwrap();
    let approve = |definition: &mut Definition| definition.approve([approval("port 3000", None)]);
    store.edit_approvals(&before, "dev", approve).unwrap();
    std::fs::rename(&place, dir.path().join("kept")).unwrap();
    std::fs::create_dir_all(place.join(".git/objects")).unwrap();
    std::fs::write(place.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let after = Owner::discover(&place).unwrap();
    assert_eq!(after.place(), before.place());
    assert!(store.approvals(&after).unwrap().definitions.is_empty());
    // The break: were an owner its path alone, the approval would be there.
    let by_path = |owner: &Owner| owner.place() == after.place();
    let all = store.all_approvals().unwrap().0;
    assert!(all.iter().any(|approvals| approvals.owner.as_ref().is_some_and(by_path)));
}

#[test]
fn g04_a_file_of_approvals_that_was_moved_to_another_owner_is_refused() {
    let (dir, store) = store();
    let (web, api) = (owner("/src/web"), owner("/src/apis"));
    let approve = |definition: &mut Definition| definition.approve([approval("port 3000", None)]);
    store.edit_approvals(&web, "dev", approve).unwrap();
    let file = |owner: &Owner| dir.path().join(format!("policy/approvals-{}.json", key(owner)));
    std::fs::rename(file(&web), file(&api)).unwrap();
    assert!(matches!(store.approvals(&api), Err(StoreError::Damaged { .. })));
}

#[test]
fn damaged_approvals_are_not_taken_for_none() {
    let (dir, store) = store();
    let web = owner("/src/web");
    let path = dir.path().join(format!("policy/approvals-{}.json", key(&web)));
    std::fs::write(path, "{\"version\":1,\"definitions\":[]}").unwrap();
    assert!(matches!(store.approvals(&web), Err(StoreError::Damaged { .. })));
    let edited = store.edit_approvals(&web, "dev", |definition| definition.approve([]));
    assert!(matches!(edited, Err(ApprovalsError::Store(StoreError::Damaged { .. }))));
}

#[test]
fn an_approval_ends_at_its_second() {
    for (until, counts) in [
        ("2026-06-01T12:00:01Z", true),
        ("2026-06-01T12:00:00Z", false),
        ("2026-06-02T00:00:00Z", true),
        ("2025-12-31T00:00:00Z", false),
    ] {
        let mut definition = Definition::default();
        definition.approve([approval("port 3000", Some(until))]);
        assert_eq!(definition.in_force("2026-06-01T12:00:00.5Z").count(), usize::from(counts), "{until}");
    }
}

#[test]
fn the_last_word_about_a_grant_counts() {
    let mut definition = Definition::default();
    definition.park(vec![parked("port 1", "2026-01-01T00:00:00Z"), parked("port 2", "2026-01-01T00:00:00Z")]);
    definition.approve([approval("port 1", None)]);
    assert_eq!((definition.approved.len(), definition.parked.len()), (1, 1));
    definition.reject([rejection("port 1")]);
    assert_eq!((definition.approved.len(), definition.rejected.len()), (0, 1));
    definition.approve([approval("port 1", None)]);
    assert_eq!((definition.approved.len(), definition.rejected.len()), (1, 0));
    // What waits still keeps its time; what is not asked for any more is gone.
    definition.park(vec![parked("port 2", "2026-03-03T00:00:00Z"), parked("port 3", "2026-03-03T00:00:00Z")]);
    let times: Vec<_> = definition.parked.iter().map(|entry| entry.since.as_str()).collect();
    assert_eq!(times, ["2026-01-01T00:00:00Z", "2026-03-03T00:00:00Z"]);
}

#[test]
fn what_nobody_can_judge_is_refused() {
    let (_dir, store) = store();
    let many = (0..=ENTRIES_MAX).map(|index| parked(&format!("port {index}"), "2026-01-01T00:00:00Z"));
    let web = owner("/src/web");
    let refused = store.edit_approvals(&web, "dev", |definition| definition.park(many.collect()));
    assert!(matches!(refused, Err(ApprovalsError::TooMany { .. })));
    assert!(store.approvals(&web).unwrap().definitions.is_empty());
}

#[test]
fn edits_at_once_all_count() {
    let (_dir, store) = store();
    std::thread::scope(|scope| {
        for index in 0..8 {
            let store = &store;
            scope.spawn(move || {
                let grant = format!("port {index}");
                let approve = |definition: &mut Definition| definition.approve([approval(&grant, None)]);
                store.edit_approvals(&owner("/src/web"), "dev", approve).unwrap();
            });
        }
    });
    assert_eq!(in_force(&store, "/src/web", "dev").len(), 8);
    assert_eq!(store.approvals(&owner("/src/web")).unwrap().revision, 8);
}

/// Two texts that somebody has looked for: their digests begin with the same 48 bits.
#[test]
fn ids_are_shown_as_far_as_they_tell_grants_apart() {
    let one = id("net GET docs.example.com:443 /w2753437/**");
    let two = id("net * e6372573.attacker.example:443");
    assert_eq!((one.len(), &one[..12]), (64, &two[..12]));
    assert_ne!(one, two);
    let shown = short(&one, [&one, &two, &id("port 3000")]);
    assert!(shown.len() > 12 && one.starts_with(shown) && !two.starts_with(shown), "{shown}");
    // The break: where nothing is like it, twelve digits do.
    assert_eq!(short(&one, [&one, &id("port 3000")]), &one[..12]);
    assert_eq!(short(&one, Vec::<String>::new()), &one[..12]);
    // All but the last digit alike, and a text that is no id.
    let near = format!("{}x", &one[..63]);
    assert_eq!((short(&one, [&near]), short("", [&near])), (one.as_str(), ""));
}

#[test]
fn a_file_that_holds_more_than_is_ever_written_is_damaged() {
    let (dir, store) = store();
    let web = owner("/src/web");
    store.edit_approvals(&web, "dev", |definition| definition.approve([approval("port 1", None)])).unwrap();
    let path = dir.path().join(format!("policy/approvals-{}.json", key(&web)));
    let write = |count: usize| {
        let mut known: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let all: Vec<_> = (0..count).map(|index| approval(&format!("port {index}"), None)).collect();
        known["definitions"]["dev"]["approved"] = serde_json::to_value(all).unwrap();
        std::fs::write(&path, known.to_string()).unwrap();
    };
    write(ENTRIES_MAX);
    assert!(store.approvals(&web).is_ok());
    write(ENTRIES_MAX + 1);
    let error = store.approvals(&web).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("more than 4096 grants of `dev`"), "{error}: {cause}");
    assert_eq!(store.all_approvals().unwrap().1.len(), 1);
}
