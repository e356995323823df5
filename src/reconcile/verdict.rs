//! What a pass ends with: one word for the caller, whatever became of the single sandboxes.

use std::time::Duration;

/// Wait before the first retry.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait: what a host lacks is often brought by a person within minutes.
const LONGEST: Duration = Duration::from_secs(300);

/// What is to be done after a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: everything is as it shall be.
    Done,
    /// Another pass, after this time.
    Retry {
        /// From the end of this pass.
        after: Duration,
    },
    /// Another pass when a person has done something.
    Waiting {
        /// What, for a person; one line for each sandbox.
        reason: String,
    },
}

/// How long to wait after the `attempt`th pass in a row that asked for another, from 0.
#[must_use]
pub fn backoff(attempt: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST)
}

#[test]
fn waits_double_up_to_five_minutes() {
    let seconds = |attempt| backoff(attempt).as_secs();
    assert_eq!([0, 1, 5, 8, 9, 40].map(seconds), [1, 2, 32, 256, 300, 300]);
}
