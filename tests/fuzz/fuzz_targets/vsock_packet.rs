//! Arbitrary packets of a hostile guest against the vsock core, with fetches in between.
//!
//! The input is a list of packets: two bytes of length, little-endian, whose top bit says that the guest fetches
//! first, then that many bytes of header and payload. The context ids and the socket type are set right, since a
//! packet with others is refused before any state is looked at.
#![no_main]

use cofferdam::{
    devices::vsock::{Core, Limits, Routes, packet::HEADER_LEN},
    sys::handoff,
    wire::{GUEST_CID, HOST_CID},
};
use libfuzzer_sys::fuzz_target;

/// Packets that the guest fetches in a row, at most.
const FETCHES: usize = 64;

fuzz_target!(|input: &[u8]| {
    let (receiver, theirs) = handoff::pair().expect("descriptors are there");
    let routes = Routes { host_ports: vec![(2, theirs)], diallers: Vec::new() };
    let mut core = Core::new(GUEST_CID, routes, Limits::default()).expect("descriptors are there");
    let mut rest = input;
    let mut payload = [0; 512];
    while let Some((length, tail)) = rest.split_first_chunk() {
        let word = u16::from_le_bytes(*length);
        if word & 0x8000 != 0 {
            for _ in 0..FETCHES {
                let Some(header) = core.next_rx_packet(&mut payload) else { break };
                assert!(header.len as usize <= payload.len());
            }
        }
        let (packet, tail) = tail.split_at(usize::from(word & 0x7fff).min(tail.len()));
        rest = tail;
        let mut packet = packet.to_vec();
        if packet.len() >= HEADER_LEN {
            packet[0..8].copy_from_slice(&GUEST_CID.to_le_bytes());
            packet[8..16].copy_from_slice(&HOST_CID.to_le_bytes());
            packet[28..30].copy_from_slice(&1u16.to_le_bytes());
            // Few ports, so that packets meet the connections of others.
            let [guest, host] = [packet[16], packet[20]].map(|port| u32::from(port % 4).to_le_bytes());
            packet[16..20].copy_from_slice(&guest);
            packet[20..24].copy_from_slice(&host);
        }
        if core.may_take_tx() {
            core.handle_tx_packet(&packet);
        }
        core.process_events().expect("the kernel can tell");
    }
    drop(receiver);
});
