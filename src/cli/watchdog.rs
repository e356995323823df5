//! The time that a whole command has. What a command does is resumable at every point, because it may be killed there;
//! so the end of its time is an end like any other, only in order and with an exit code of its own.

use std::{
    io::Write as _,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{
    failure::{Failure, Kind},
    output::Format,
};

/// Ends this process when the time is up, unless it is dropped before.
pub struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    /// Ends this process with [`Kind::TimedOut`] after `limit`: in the middle of whatever it does. A machine that
    /// boots goes on without it, a build's machine ends with it, and the rest is for the next pass.
    #[must_use]
    pub fn start(limit: Duration, format: Format) -> Self {
        Self::with(limit, move || {
            let failure = Failure::new(
                Kind::TimedOut,
                "timeout",
                format!("the time is up: not everything was done within {} s", limit.as_secs_f64()),
            )
            .hint("what was begun is finished by the next `cofferdam apply`; `cofferdam status` shows where it stands");
            let text = failure.render(format).unwrap_or_default();
            // Nobody is left to be told when this fails.
            drop(std::io::stderr().write_all(text.as_bytes()));
            std::process::exit(failure.exit_code().into());
        })
    }

    fn with(limit: Duration, bite: impl FnOnce() + Send + 'static) -> Self {
        let (alive, ended) = mpsc::channel::<()>();
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                bite();
            }
        });
        Self { _alive: alive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_bites_when_the_time_is_up_and_not_when_the_work_has_ended() {
        let (tell, bitten) = mpsc::channel();
        let watchdog = Watchdog::with(Duration::from_millis(1), move || tell.send(()).unwrap());
        assert_eq!(bitten.recv(), Ok(()));
        drop(watchdog);
        let (tell, bitten) = mpsc::channel();
        drop(Watchdog::with(Duration::from_secs(60), move || tell.send(()).unwrap()));
        // The thread has ended without a word.
        assert!(bitten.recv().is_err());
    }
}
