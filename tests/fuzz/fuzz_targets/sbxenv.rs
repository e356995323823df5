//! Any bytes as an sbxenv.yaml: a draft or an error in bounded time, and whatever the draft holds is one YAML document
//! that shows nothing a terminal obeys.
#![no_main]

use cofferdam::kit::{import::sbxenv, is_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let knows = |name: &str| matches!(name, "claude" | "github");
    match sbxenv("sbxenv.yaml", bytes, "shell", &knows, &knows) {
        Ok(imported) => {
            let text = imported.draft.render();
            assert!(!text.contains(|sign: char| sign.is_control() && sign != '\n'), "{text:?}");
            assert!(is_yaml(text.as_bytes()), "{text}");
            for told in imported.unmapped {
                assert!(!told.key.contains(|sign: char| sign.is_control()), "{told:?}");
                assert!(!told.reason.contains(|sign: char| sign.is_control()), "{told:?}");
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(!problem.to_line().contains(|sign: char| sign.is_control()));
            }
        }
    }
});
