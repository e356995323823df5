//! Any bytes as a .mcp.json: names that a terminal does not obey, or an error with a place, in bounded time.
#![no_main]

use cofferdam::kit::import::mcp_servers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match mcp_servers(".mcp.json", bytes) {
        Ok(names) => assert!(!names.iter().any(|name| name.contains(char::is_control)), "{names:?}"),
        Err(problem) => {
            assert!(problem.line() > 0 && problem.column() > 0);
            assert!(!problem.to_line().contains(char::is_control));
        }
    }
});
