//! Request paths: the canonical form is canonical, and has no dot segment.
#![no_main]

use cofferdam::policy::path::canonical;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some(path) = canonical(text) else { return };
    assert_eq!(canonical(&path).as_deref(), Some(path.as_str()));
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
});
