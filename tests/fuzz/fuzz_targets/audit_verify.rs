//! Any bytes as a segment of an audit trail: the walk ends, its good part is a chain, and events print safely.

#![no_main]

use cofferdam::audit::{Head, chain, verify::Walk, view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut walk = Walk::new(Head::genesis(), None);
    let flaw = walk.file(bytes).expect("memory is read without errors");
    assert_eq!(walk.head().seq, walk.events());
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(walk.events() <= lines);
    assert!(flaw.is_some() || walk.events() == lines);
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(event) = chain::read(line) {
            assert!(!view::line(&event).contains(char::is_control));
        }
    }
});
