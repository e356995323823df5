//! Frames of a hostile guest: bounded before they are read, and what is understood means one thing.
#![no_main]

use std::io::Cursor;

use cofferdam::wire::{
    ExecReply, ExecRequest, FileReply, FileRequest, GuestMessage,
    frame::{self, GUEST_FRAME_MAX, HOST_FRAME_MAX},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|bytes: &[u8]| {
    check::<GuestMessage>(bytes, GUEST_FRAME_MAX);
    check::<ExecReply>(bytes, GUEST_FRAME_MAX);
    check::<FileReply>(bytes, GUEST_FRAME_MAX);
    // The other direction: whoever reaches the guest's exec server is root in there already, but its parser is ours.
    check::<ExecRequest>(bytes, HOST_FRAME_MAX);
    check::<FileRequest>(bytes, HOST_FRAME_MAX);
});

/// Reads as many frames as there are.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8], max: usize) {
    let mut stream = Cursor::new(bytes);
    while let Ok(message) = frame::read::<T>(&mut stream, max) {
        // Escapes may make it longer than it came.
        let written = frame::encode(&message, max * 8).expect("what was read can be written");
        let again = frame::read::<T>(&mut written.as_slice(), max * 8).expect("and read again");
        assert_eq!(message, again);
    }
    assert!(stream.position() <= bytes.len() as u64);
}
