use super::*;
use crate::audit::fixture::Fixture;
use proptest::prelude::*;

/// Three files of three events, sealed.
fn trail() -> (Fixture, Head) {
    let fixture = Fixture::new();
    let mut trail = fixture.open_with(3);
    fixture.fill(&mut trail, 9);
    let head = trail.close().unwrap();
    (fixture, head)
}

fn lines(text: &str, order: &[usize]) -> String {
    let lines: Vec<_> = text.lines().collect();
    order.iter().map(|index| format!("{}\n", lines[*index])).collect()
}

/// Changes the second file and says where the first bad record is: line, number, flaw.
fn tampered(change: impl FnOnce(String) -> String) -> Option<(u64, u64, Flaw)> {
    let (fixture, _) = trail();
    assert_eq!(directory(fixture.path(), None).unwrap().bad, None, "the untouched trail verifies");
    fixture.edit("00000002.jsonl", change);
    let report = directory(fixture.path(), None).unwrap();
    report.bad.map(|bad| (bad.line, bad.seq, bad.flaw))
}

#[test]
fn g14_a_changed_record_is_found() {
    assert_eq!(tampered(|text| text.replace("r-5", "r-6")), Some((2, 5, Flaw::Hash)));
    assert_eq!(tampered(|text| text.replacen("deny", "allow", 1)), Some((1, 4, Flaw::Hash)));
}

#[test]
fn g14_a_deleted_record_is_found() {
    assert_eq!(tampered(|text| lines(&text, &[0, 2])), Some((2, 5, Flaw::Gap { expected: 5, found: 6 })));
    // The last of a file: the gap shows in the next one.
    let gap = Some((1, 6, Flaw::Gap { expected: 6, found: 7 }));
    assert_eq!(tampered(|text| lines(&text, &[0, 1])), gap);
    assert_eq!(tampered(|_| String::new()), Some((1, 4, Flaw::Empty)));
}

#[test]
fn g14_a_moved_or_repeated_record_is_found() {
    assert_eq!(tampered(|text| lines(&text, &[1, 0, 2])), Some((1, 4, Flaw::Gap { expected: 4, found: 5 })));
    assert_eq!(
        tampered(|text| lines(&text, &[0, 0, 1, 2])),
        Some((2, 5, Flaw::Order { expected: 5, found: 4 }))
    );
}

#[test]
fn g14_a_truncated_file_is_found() {
    assert_eq!(tampered(|text| text[..text.len() - 20].to_owned()), Some((3, 6, Flaw::Torn)));
    assert_eq!(tampered(|text| text + "{}\n").map(|bad| (bad.0, bad.1)), Some((4, 7)));
    assert_eq!(tampered(|text| text + &"x".repeat(chain::LINE_MAX)).map(|bad| bad.2), Some(Flaw::TooLong));
}

#[test]
fn g14_swapped_files_and_a_swapped_chain_are_found() {
    let (fixture, _) = trail();
    let at = |name: &str| fixture.path().join(name);
    std::fs::rename(at("00000001.jsonl"), at("x")).unwrap();
    std::fs::rename(at("00000002.jsonl"), at("00000001.jsonl")).unwrap();
    std::fs::rename(at("x"), at("00000002.jsonl")).unwrap();
    let bad = directory(fixture.path(), None).unwrap().bad.unwrap();
    assert_eq!((bad.seq, bad.flaw), (1, Flaw::Gap { expected: 1, found: 4 }));

    // A file of another sandbox's trail, with the right numbers and hashes of its own.
    let (fixture, _) = trail();
    let mut other = Fixture::new();
    other.context.user = "bob".into();
    let mut other_trail = other.open_with(3);
    other.fill(&mut other_trail, 9);
    std::fs::copy(other.path().join("00000002.jsonl"), fixture.path().join("00000002.jsonl")).unwrap();
    let bad = directory(fixture.path(), None).unwrap().bad.unwrap();
    assert_eq!((bad.line, bad.seq, bad.flaw), (1, 4, Flaw::Prev));
}

#[test]
fn g14_a_cut_end_and_a_rewritten_chain_show_against_a_noted_head() {
    let (fixture, head) = trail();
    assert_eq!(directory(fixture.path(), Some(&head)).unwrap().bad, None);
    std::fs::remove_file(fixture.path().join("00000003.jsonl")).unwrap();
    // Without the head, the files alone cannot tell: that is what the head is for.
    assert_eq!(directory(fixture.path(), None).unwrap().bad, None);
    let bad = directory(fixture.path(), Some(&head)).unwrap().bad.unwrap();
    assert_eq!((bad.line, bad.seq, bad.flaw), (4, 7, Flaw::Cut { expected: 9, found: 6 }));

    let (fixture, _) = trail();
    let mut other = Fixture::new();
    other.context.user = "bob".into();
    let mut forged = other.open();
    other.fill(&mut forged, 9);
    assert_eq!(directory(other.path(), None).unwrap().bad, None);
    let noted = directory(fixture.path(), None).unwrap().head;
    let bad = directory(other.path(), Some(&noted)).unwrap().bad.unwrap();
    assert_eq!((bad.seq, bad.flaw), (9, Flaw::Rewritten { seq: 9 }));
}

#[test]
fn an_empty_trail_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let report = directory(dir.path(), None).unwrap();
    assert_eq!((report.events, report.head, report.bad), (0, Head::genesis(), None));
    assert!(directory(&dir.path().join("none"), None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn g14_no_edit_of_any_file_passes(file in 1..=3_u8, at in 0.0..1.0_f64, length in 0..40_usize, with in ".{0,20}") {
        let (fixture, head) = trail();
        let mut changed = false;
        fixture.edit(&format!("0000000{file}.jsonl"), |text| {
            let at = (text.len() as f64 * at) as usize;
            let (from, to) = (text.floor_char_boundary(at), text.floor_char_boundary(at + length));
            let mut edited = text.clone();
            edited.replace_range(from..to, &with);
            changed = edited != text;
            edited
        });
        let report = directory(fixture.path(), Some(&head)).unwrap();
        prop_assert_eq!(report.bad.is_some(), changed);
    }
}
