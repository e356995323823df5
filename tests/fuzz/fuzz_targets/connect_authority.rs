//! CONNECT heads: what is accepted names one host in one spelling.
#![no_main]

use cofferdam::{
    egress::proxy::connect_authority,
    model::rule::Target,
    policy::{authority, explain::place},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((target, port)) = connect_authority(bytes) else { return };
    let again = authority::authority(&place(&target, port), None);
    assert_eq!(again, Ok((target.clone(), port)), "the printed form means the same");
    if let Target::Name(name) = target {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte)));
    }
});
