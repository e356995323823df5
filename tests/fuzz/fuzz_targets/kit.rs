//! Any bytes as a file of sandboxes: an answer in bounded time, never a panic, and nothing that a terminal obeys.
#![no_main]

use cofferdam::{
    kit::{Context, Elsewhere, LoadError, LockUse, Selection, load},
    model::{registry::Registries, unit::Bytes},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let context = Context {
        folder: "/".into(),
        home: "/".into(),
        default_memory: Bytes::gib(1),
        user_folder: None,
        registries: Registries::default(),
        lock: LockUse::Prefer,
        elsewhere: Elsewhere::default(),
        tree: None,
    };
    if let Err(LoadError::Invalid(problems)) = load(Selection::Stdin(bytes.to_vec()), &context) {
        for problem in problems {
            assert!(!problem.to_line().contains(|sign: char| sign.is_control()));
        }
    }
});
