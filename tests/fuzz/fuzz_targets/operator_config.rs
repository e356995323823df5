//! Any bytes as the operator's configuration: an answer in bounded time, never a panic, and nothing that a terminal
//! obeys.
#![no_main]

use cofferdam::kit::{ConfigContext, config};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let context = ConfigContext { name: "config.yaml".into(), folder: "/etc/x".into(), home: "/home/u".into() };
    match config(bytes, &context) {
        Ok(config) => assert!(config.egress.upstream_ca.iter().all(|path| path.is_absolute())),
        Err(error) => {
            assert!(!error.0.is_empty());
            assert!(!error.0.iter().any(|problem| problem.to_line().contains(char::is_control)));
        }
    }
});
