//! DNS messages of the guest: whatever they hold, they are a question about one well-formed name, or nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _question = cofferdam::egress::dns::parse(bytes);
});
