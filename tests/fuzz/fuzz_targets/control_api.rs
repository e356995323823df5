//! What processes of one sandbox say to each other: a command to its keeper and back, a keeper to egress and back. An
//! egress that its guest took over writes the reports.
#![no_main]

use cofferdam::{
    model::{
        api::{EgressOrder, EgressReport, ProgressRequest, StopRequest},
        status::SandboxStatus,
    },
    wire::{ExecRequest, frame},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

/// Longer than any of them: what bounds each is the length that is read.
const MAX: usize = 64 << 20;

fuzz_target!(|bytes: &[u8]| {
    alike::<StopRequest>(bytes);
    alike::<ProgressRequest>(bytes);
    alike::<ExecRequest>(bytes);
    alike::<SandboxStatus>(bytes);
    // Details may hold a fraction, which is read to the nearest and not to the last digit.
    again::<EgressReport>(bytes);
    alike::<EgressOrder>(bytes);
});

fn alike<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Some((message, again)) = again::<T>(bytes) {
        assert_eq!(message, again);
    }
}

/// What was read, and what is read of it once it is written.
fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<(T, T)> {
    let message: T = frame::decode(bytes).ok()?;
    let written = frame::encode(&message, MAX).expect("what was read can be written");
    let again = frame::decode(&written[4..]).expect("and read again");
    Some((message, again))
}
