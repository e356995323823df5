//! Any bytes as a sandbox.lock: never a panic, nothing that a terminal obeys, and what is read is written so that it
//! reads back the same.
#![no_main]

use cofferdam::kit::{Lock, read_lock};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match read_lock("sandbox.lock", bytes) {
        Ok(lock) => {
            let text = lock.text();
            let back = read_lock("sandbox.lock", text.as_bytes()).expect("what is written reads");
            assert!(back.changes(&lock).is_empty(), "{text}");
            assert_eq!(back.text(), text);
            assert!(Lock::default().changes(&Lock::default()).is_empty());
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                let line = problem.to_line();
                assert!(!line.contains(|sign: char| sign.is_control() && sign != '\u{85}'), "{line:?}");
            }
        }
    }
});
