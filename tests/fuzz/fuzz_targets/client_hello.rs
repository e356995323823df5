//! The first bytes of a guest's TLS: a name that stands in them is the same however they are cut, and is a plain name.
#![no_main]

use cofferdam::egress::overhear::client_hello;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let found = client_hello(bytes, usize::MAX);
    assert_eq!(client_hello(bytes, 1), found);
    if let Some(Some(name)) = found {
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)), "{name:?}");
    }
});
