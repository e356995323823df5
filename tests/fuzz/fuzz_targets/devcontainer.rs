//! Any bytes as a devcontainer.json: a draft or an error in bounded time, and whatever the draft holds is one YAML
//! document that shows nothing a terminal obeys.
#![no_main]

use cofferdam::kit::{Context, LoadError, Selection, import::devcontainer, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match devcontainer("devcontainer.json", bytes, "shell") {
        Ok(imported) => {
            let text = imported.draft.render();
            assert!(!text.contains(|sign: char| sign.is_control() && sign != '\n'));
            for told in imported.unmapped {
                assert!(!told.key.contains(|sign: char| sign.is_control()));
                assert!(!told.reason.contains(|sign: char| sign.is_control()));
            }
            let context = Context {
                folder: "/".into(),
                home: "/".into(),
                default_memory: cofferdam::model::unit::Bytes::gib(1),
                user_folder: None,
                registries: Default::default(),
                lock: Default::default(),
                elsewhere: Default::default(),
                tree: None,
            };
            if let Err(LoadError::Invalid(problems)) = load(Selection::Stdin(text.into_bytes()), &context) {
                let syntax = |code: &str| code == "kit::syntax" || code == "kit::encoding";
                assert!(!problems.iter().any(|problem| syntax(&problem.code.to_string())));
            }
        }
        Err(problems) => {
            for problem in problems {
                assert!(!problem.to_line().contains(|sign: char| sign.is_control()));
            }
        }
    }
});
