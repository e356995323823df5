//! adjtimex(2): the one call of the clock that `rustix` lacks.

use std::{io, mem};

use super::check;

/// Slews the wall clock by `micros` without a step, 0.5 ms per second (`ADJ_OFFSET_SINGLESHOT`).
///
/// # Errors
/// When the offset is beyond what the kernel slews (0.5 s) or the caller may not.
pub fn slew(micros: i64) -> io::Result<()> {
    // SAFETY: timex is plain old data for which all zeroes is a valid value.
    let mut timex: libc::timex = unsafe { mem::zeroed() };
    timex.modes = libc::ADJ_OFFSET_SINGLESHOT;
    timex.offset = micros;
    // SAFETY: `timex` is live and ours.
    check(unsafe { libc::adjtimex(&raw mut timex) }).map(drop)
}
