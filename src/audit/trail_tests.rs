use super::*;
use crate::audit::{
    chain::Flaw,
    fixture::{Fixture, draft},
    segment::Step,
    verify,
};

fn fault(at: Step, kind: io::ErrorKind) -> Gate {
    Gate { fault: Some(Box::new(move |step| if step == at { Err(kind.into()) } else { Ok(()) })) }
}

#[test]
fn a_trail_goes_on_where_it_was_closed() {
    let fixture = Fixture::new();
    let mut trail = fixture.open();
    fixture.fill(&mut trail, 3);
    let head = trail.close().unwrap();
    assert_eq!(fixture.names(), ["00000001.jsonl", "lock"]);
    let mut trail = fixture.open();
    assert_eq!(trail.head(), &head);
    let event = trail.append(draft("r-4"), &fixture.context, fixture.start).unwrap();
    assert_eq!((event.seq, event.prev), (4, head.hash));
    assert_eq!(fixture.verified(), 4);
}

#[test]
fn segments_are_sealed_by_count_size_and_age() {
    let fixture = Fixture::new();
    let mut trail = fixture.open_with(2);
    fixture.fill(&mut trail, 5);
    assert_eq!(fixture.names(), ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl.tmp", "lock"]);
    let due = trail.seal_due().unwrap();
    assert_eq!(due, fixture.start + Duration::from_secs(300));
    trail.append(draft("r-6"), &fixture.context, due).unwrap();
    assert!(fixture.names().contains(&"00000003.jsonl".to_owned()));
    // Full: due at once, also for a caller that only watches the time.
    trail.append(draft("r-7"), &fixture.context, due).unwrap();
    assert_eq!(trail.seal_due(), Some(due));
    trail.seal(due).unwrap();
    assert_eq!((trail.seal_due(), fixture.verified()), (None, 7));
    drop(trail);
    let limits = Limits { bytes: 100, ..Limits::default() };
    let (mut trail, _) = Trail::open(fixture.path(), limits, fixture.start).unwrap();
    fixture.fill(&mut trail, 3);
    assert_eq!(fixture.verified(), 10);
    assert_eq!(verify::directory(fixture.path(), None).unwrap().segments, 7);
}

#[test]
fn one_writer_at_a_time() {
    let fixture = Fixture::new();
    let trail = fixture.open();
    let second = Trail::open(fixture.path(), Limits::default(), fixture.start);
    assert!(matches!(second, Err(TrailError::Busy(_))));
    drop(trail);
    fixture.open();
}

#[test]
fn a_torn_end_is_set_aside_and_the_chain_goes_on() {
    let fixture = Fixture::new();
    let mut trail = fixture.open();
    fixture.fill(&mut trail, 3);
    drop(trail);
    let whole = fs::read(fixture.path().join("00000001.jsonl.tmp")).unwrap();
    let second_end = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    // Wherever the power went: two events stay, and the third is in `.torn` as far as it got.
    for cut in [second_end + 1, second_end + 100, whole.len() - 1] {
        let fixture = Fixture::new();
        fs::write(fixture.path().join("00000001.jsonl.tmp"), &whole[..cut]).unwrap();
        let report = verify::directory(fixture.path(), None).unwrap();
        assert_eq!(report.bad.map(|bad| (bad.line, bad.flaw)), Some((3, Flaw::Torn)));
        let (mut trail, repair) = Trail::open(fixture.path(), Limits::default(), fixture.start).unwrap();
        let repair = repair.unwrap();
        assert_eq!(repair.bytes, (cut - second_end) as u64);
        assert!(fs::read(repair.torn).unwrap().starts_with(&whole[second_end..cut]));
        assert_eq!(trail.head().seq, 2);
        fixture.fill(&mut trail, 1);
        assert_eq!(fixture.verified(), 3);
    }
}

#[test]
fn half_a_line_of_a_live_writer_is_no_flaw() {
    let fixture = Fixture::new();
    let mut trail = fixture.open();
    fixture.fill(&mut trail, 1);
    fixture.edit("00000001.jsonl.tmp", |text| text + "{\"time\":");
    let report = verify::directory(fixture.path(), None).unwrap();
    assert_eq!((report.bad, report.unfinished, report.events), (None, true, 1));
}

#[test]
fn g14_a_broken_end_is_not_continued_but_set_aside_on_request() {
    let fixture = Fixture::new();
    let mut trail = fixture.open_with(2);
    fixture.fill(&mut trail, 5);
    drop(trail);
    fixture.edit("00000003.jsonl.tmp", |text| text.replace("r-5", "r-X"));
    let refused = Trail::open(fixture.path(), Limits::default(), fixture.start).unwrap_err();
    assert_eq!(refused.bad().map(|bad| (bad.line, bad.seq, &bad.flaw)), Some((1, 5, &Flaw::Hash)));
    assert!(refused.to_string().contains("00000003.jsonl.tmp:1: record 5"), "{refused}");

    let time = "2026-01-02T03:04:05Z".to_owned();
    let trail =
        Trail::recover(fixture.path(), Limits::default(), time, &fixture.context, fixture.start).unwrap();
    assert_eq!(trail.head().seq, 1);
    let first = crate::audit::query::oldest_first(fixture.path(), Default::default()).unwrap().next();
    let first = first.unwrap().unwrap();
    assert_eq!((first.action.as_str(), first.reason.as_str()), ("audit.recovered", "chain_broken"));
    assert_eq!(first.resource, "00000003.jsonl.tmp:1");
    assert_eq!(first.detail["old_head"]["seq"], 4);
    let aside = fixture.path().join(first.detail["aside"].as_str().unwrap());
    assert_eq!(verify::directory(&aside, None).unwrap().bad.map(|bad| bad.seq), Some(5));
    assert_eq!(fixture.verified(), 1);
}

#[test]
fn a_recovery_that_a_crash_cut_short_is_completed() {
    let fixture = Fixture::new();
    let mut trail = fixture.open_with(1);
    fixture.fill(&mut trail, 3);
    trail.close().unwrap();
    fixture.edit("00000003.jsonl", |text| text.replace("r-3", "r-X"));
    let (event, line) = chain::link(&Head::genesis(), draft("new"), &fixture.context, "e".into()).unwrap();
    // As if it had ended after the first of three renames.
    fs::write(fixture.path().join("00000004.recovered"), line).unwrap();
    fs::create_dir(fixture.path().join("aside-00000004")).unwrap();
    fs::rename(fixture.path().join("00000003.jsonl"), fixture.path().join("aside-00000004/00000003.jsonl"))
        .unwrap();
    let trail = fixture.open();
    assert_eq!(trail.head(), &Head::after(&event));
    assert_eq!(fs::read_dir(fixture.path().join("aside-00000004")).unwrap().count(), 3);
    assert_eq!(fixture.verified(), 1);
}

#[test]
fn no_room_refuses_the_event_and_keeps_room_for_last_words() {
    for step in [Step::Reserve, Step::Write] {
        let fixture = Fixture::new();
        let mut trail = fixture.open();
        fixture.fill(&mut trail, 1);
        *trail.gate() = fault(step, io::ErrorKind::StorageFull);
        let long = "x".repeat(1 << 19);
        // Reserved room lasts for a while, then an event is refused as a whole.
        let refused = (0..9).find_map(|_| trail.append(draft(&long), &fixture.context, fixture.start).err());
        assert!(matches!(refused, Some(TrailError::Full { .. })), "{step:?} {refused:?}");
        let events = fixture.verified();
        assert_eq!(events, trail.head().seq);
        if step == Step::Reserve {
            let last = trail.append_last(draft("out of room"), &fixture.context, fixture.start).unwrap();
            assert_eq!(last.seq, events + 1);
        }
        // With room again it goes on.
        *trail.gate() = Gate::default();
        trail.append(draft("more"), &fixture.context, fixture.start).unwrap();
        fixture.verified();
    }
}

#[test]
fn a_failed_sync_ends_the_trail_and_a_sync_is_due_in_time() {
    let fixture = Fixture::new();
    let mut trail = fixture.open();
    assert_eq!(trail.sync_due(), None);
    fixture.fill(&mut trail, 2);
    assert_eq!(trail.sync_due(), Some(fixture.start + Duration::from_millis(100)));
    assert_eq!(trail.sync().unwrap().seq, 2);
    assert_eq!(trail.sync_due(), None);
    fixture.fill(&mut trail, 1);
    *trail.gate() = fault(Step::Sync, io::ErrorKind::Other);
    assert!(matches!(trail.sync(), Err(TrailError::Io { .. })));
    *trail.gate() = Gate::default();
    assert!(matches!(trail.sync(), Err(TrailError::Failed(_))));
    assert!(matches!(trail.append(draft("x"), &fixture.context, fixture.start), Err(TrailError::Failed(_))));
}

#[test]
fn killed_between_any_two_effects_the_next_open_has_every_event() {
    // The k-th effect from here on does not happen, nor does any later one.
    for kill in 0..20 {
        let fixture = Fixture::new();
        let mut trail = fixture.open_with(2);
        let mut left = kill;
        trail.gate().fault = Some(Box::new(move |_| {
            left -= i32::from(left > 0);
            if left == 0 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }));
        let mut acknowledged = Vec::new();
        for index in 0..5 {
            match trail.append(draft(&format!("r-{index}")), &fixture.context, fixture.start) {
                Ok(event) => acknowledged.push(event.hash),
                Err(_) => break,
            }
        }
        drop(trail);
        let mut trail = fixture.open();
        fixture.fill(&mut trail, 1);
        let events: Vec<Event> = crate::audit::query::oldest_first(fixture.path(), Default::default())
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let kept: Vec<_> = events.iter().take(acknowledged.len()).map(|event| event.hash.clone()).collect();
        assert_eq!(kept, acknowledged, "killed at {kill}");
        assert_eq!(fixture.verified(), acknowledged.len() as u64 + 1, "killed at {kill}");
    }
}

#[test]
fn ids_differ_between_openings() {
    let fixture = Fixture::new();
    let ids: std::collections::BTreeSet<_> = (0..3)
        .map(|_| fixture.open().append(draft("x"), &fixture.context, fixture.start).unwrap().event_id)
        .collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let dir = fixture.path().join("new/audit");
    let (mut trail, _) = Trail::open(&dir, Limits::default(), fixture.start).unwrap();
    fixture.fill(&mut trail, 1);
    for path in [dir.clone(), dir.join("00000001.jsonl.tmp"), dir.join("lock")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}
