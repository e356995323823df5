//! Time: no NTP gets into the guest, so the keeper tells it, once a minute and at each step of the host's clock
//! (someone sets it, or the host wakes from sleep).

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::guest_link::GuestLink;
use crate::sys::readiness;

/// How often the guest hears the time when nothing happens.
const EVERY: Duration = Duration::from_secs(60);
/// Far enough that only a step of the clock ends the wait: seconds.
const NEVER: i64 = 1 << 40;

/// Tells the guest the time for as long as the sandbox runs.
pub(super) async fn keep(guest: GuestLink) {
    let steps = Steps::watch();
    loop {
        guest.tell_time().await;
        match &steps {
            Ok(steps) => {
                let _ = tokio::time::timeout(EVERY, steps.next()).await;
            }
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Steps of the host's clock: a timer on the wall clock that never fires, and is cancelled by each step.
struct Steps(AsyncFd<OwnedFd>);

impl Steps {
    fn watch() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        arm(&timer)?;
        Ok(Self(readiness::watch(timer)?))
    }

    async fn next(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut expirations = [0; 8];
        // ECANCELED says that the clock was set.
        let _ = rustix::io::read(self.0.get_ref(), &mut expirations);
        arm(self.0.get_ref())?;
        ready.clear_ready();
        Ok(())
    }
}

/// Waits for a second of the wall clock since 1970, or for the next step of the clock, whichever is first.
pub(super) async fn reach(second: i64) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    // A timer for the second 0 would be none.
    arm_for(&timer, second.max(1))?;
    let timer = readiness::watch(timer)?;
    timer.readable().await.map(drop)
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    arm_for(timer, NEVER)
}

fn arm_for(timer: &OwnedFd, second: i64) -> io::Result<()> {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let then = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: second, tv_nsec: 0 } };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &then)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moment_is_waited_for() {
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let next = now() + 1;
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, reach(i64::try_from(next).unwrap())).await.unwrap().unwrap();
        assert!(now() >= next);
        tokio::time::timeout(limit, reach(0)).await.unwrap().unwrap();
    }
}
