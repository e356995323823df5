//! Any bytes as a spec.yaml: an answer in bounded time, never a panic, and nothing that a terminal obeys. What is
//! written reads back as YAML.
#![no_main]

use cofferdam::kit::docker::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let obeyed = |sign: char| sign.is_control() && !matches!(sign, '\t' | '\n' | '\r' | '\u{85}');
    match import("spec.yaml", bytes) {
        Ok(kit) => {
            assert!(!kit.text.contains(obeyed), "{:?}", kit.text);
            assert!(cofferdam::kit::is_yaml(kit.text.as_bytes()), "{}", kit.text);
            for report in &kit.reports {
                assert!(!report.to_line().contains(obeyed));
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                assert!(!problem.to_line().contains(obeyed));
            }
        }
    }
});
