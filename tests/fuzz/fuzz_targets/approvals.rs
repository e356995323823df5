//! Any bytes as .cofferdam/approvals.yaml: read in bounded time, and what is read is written so that it reads back the
//! same; what is refused is shown without anything that a terminal obeys.
#![no_main]

use cofferdam::cli::committed::{read, with};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match read(bytes) {
        Ok(file) => {
            for (name, held) in &file.definitions {
                let grants: Vec<_> = held
                    .sources()
                    .flat_map(|(end, set)| set.grants().iter().map(move |grant| (grant.to_string(), end)))
                    .collect();
                let text = with(None, name.as_str(), &grants, file.repository.clone()).expect("it is right");
                let back = read(text.as_bytes()).expect("what is written reads");
                assert_eq!(back.repository, file.repository);
                if !grants.is_empty() {
                    assert_eq!(back.definitions.get(name), Some(held), "{text}");
                }
            }
        }
        Err(failure) => {
            let message = &failure.object().message;
            assert!(!message.contains(|sign: char| sign.is_control() && sign != '\n'), "{message:?}");
            assert_eq!(failure.exit_code(), 3);
        }
    }
});
