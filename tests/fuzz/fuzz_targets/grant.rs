//! Two lines as the texts of grants: what is read is written alike, covers itself, and is judged in bounded time; what
//! is refused is shown without anything that a terminal obeys.
#![no_main]

use cofferdam::plan::grant::{Grant, GrantSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut grants = Vec::new();
    for line in text.split('\n').take(3) {
        match line.parse::<Grant>() {
            Ok(grant) => {
                assert_eq!(grant.to_string(), line);
                assert!(grant.covers(&grant), "{line}");
                grants.push(grant);
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
        }
    }
    for (one, two) in grants.iter().flat_map(|one| grants.iter().map(move |two| (one, two))) {
        if one.covers(two) && two.covers(one) {
            assert_eq!(one, two, "of two that cover each other, both are one");
        }
        for three in grants.iter().filter(|three| one.covers(two) && two.covers(three)) {
            assert!(one.covers(three), "{one} | {two} | {three}");
        }
    }
    let set: GrantSet = grants.iter().cloned().collect();
    assert!(grants.iter().all(|grant| set.covers(grant)), "{set}");
    assert!(set.missing(&set).is_empty(), "{set}");
});
