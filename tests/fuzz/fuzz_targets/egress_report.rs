//! Frames of an egress that has been taken over: bounded, one meaning, and an event that it makes up is recorded as one
//! line that verifies and shows nothing that a terminal obeys.
#![no_main]

use std::io::Cursor;

use cofferdam::{
    audit::{
        Head,
        chain::{Context, link},
        verify::Walk,
        view,
    },
    model::api::EgressReport,
    wire::frame,
};

const REPORT_MAX: usize = 256 * 1024;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut stream = Cursor::new(bytes);
    let (mut head, mut trail) = (Head::genesis(), Vec::new());
    while let Ok(report) = frame::read::<EgressReport>(&mut stream, REPORT_MAX) {
        let written = frame::encode(&report, REPORT_MAX * 8).expect("what was read can be written");
        assert_eq!(
            frame::read::<EgressReport>(&mut written.as_slice(), REPORT_MAX * 8).ok(),
            Some(report.clone())
        );
        let EgressReport::Event { draft, .. } = report else { continue };
        let Ok((event, line)) = link(&head, *draft, &Context::default(), "e-1".to_owned()) else { continue };
        assert!(!view::line(&event).contains(char::is_control));
        trail.extend_from_slice(&line);
        head = Head::after(&event);
    }
    let mut walk = Walk::new(Head::genesis(), None);
    assert_eq!(walk.file(trail.as_slice()).expect("memory is read without errors"), None);
    assert_eq!(walk.head(), &head);
});
