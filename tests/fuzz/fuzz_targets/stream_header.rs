//! The header of a stream to egress: refused, or one destination in one spelling.
#![no_main]

use cofferdam::wire::{StreamHeader, stream::HEADER_LENGTH};

libfuzzer_sys::fuzz_target!(|bytes: [u8; HEADER_LENGTH]| {
    let Ok(header) = StreamHeader::decode(bytes) else { return };
    assert_eq!(header.encode(), bytes);
    // An IPv4 address has no second form inside IPv6: rules for it would not match.
    assert_eq!(header.destination.ip().to_canonical(), header.destination.ip());
});
