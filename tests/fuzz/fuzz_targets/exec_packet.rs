//! The packets of an exec stream: what is accepted is exactly what would be sent, and whoever overhears one hears the
//! same however it is cut.
#![no_main]

use cofferdam::wire::{
    exec::{HEADER_LENGTH, PACKET_MAX, Packet},
    overheard::Overheard,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let heard = |cut: usize| {
        let mut overheard = Overheard::default();
        bytes.chunks(cut).for_each(|piece| overheard.hear(piece));
        overheard.code()
    };
    assert_eq!(heard(1), heard(bytes.len().max(1)));
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_LENGTH>() {
        let Ok((kind, length)) = Packet::decode_header(*header) else { return };
        assert!(length <= PACKET_MAX);
        let Some((body, after)) = after.split_at_checked(length) else { return };
        let Ok(packet) = Packet::decode(kind, body.to_vec()) else { return };
        assert_eq!(packet.encode(), rest[..HEADER_LENGTH + length]);
        rest = after;
    }
});
