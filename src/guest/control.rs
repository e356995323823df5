//! The control channel: says that the machine is up, sets the clock, takes the shutdown.
//!
//! The stream is dialled again whenever it breaks, at growing intervals and for ever: the host may restart its
//! keeper while the machine runs.

use std::{io, time::Duration};

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use crate::{
    boot,
    handover::{Handover, POWER_OFF, tell_init},
    stream::{Host, Stream},
    sys,
    wire::{
        GuestMessage, HostMessage, VERSION,
        frame::{GUEST_FRAME_MAX, HOST_FRAME_MAX},
        port,
    },
};

/// Notes beyond this many bytes in all are left out: a frame has a limit.
const NOTES_MAX: usize = 32 * 1024;

/// Runs as the `control` child.
///
/// # Errors
/// When it cannot start.
pub fn serve() -> io::Result<()> {
    let handover = Handover::from_stdin()?;
    boot::shield_server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dial_for_ever(&Host::Vsock, handover.notes, &mut |message| apply(&message)))
}

async fn dial_for_ever(
    host: &Host,
    notes: Vec<String>,
    apply: &mut (dyn FnMut(HostMessage) + Send),
) -> io::Result<()> {
    let ready =
        GuestMessage::Ready { version: VERSION, kernel: kernel_release(), notes: bounded(notes, NOTES_MAX) };
    let mut terminate = signal(SignalKind::terminate())?;
    // PID 1 sends SIGHUP right behind SIGTERM, for the shells; it must not end us in the middle of the last message.
    let _heard_and_ignored = signal(SignalKind::hangup())?;
    let mut wait = Duration::from_millis(50);
    loop {
        if let Ok(stream) = host.dial(port::HOST_CONTROL).await {
            tokio::select! {
                heard = converse(&stream, &ready, apply) => {
                    if heard {
                        wait = Duration::from_millis(50);
                    }
                }
                _ = terminate.recv() => {
                    // PID 1 ends everything; the host should know that it was not a crash.
                    return stream.write_frame(&GuestMessage::Stopping, GUEST_FRAME_MAX).await;
                }
            }
        }
        tokio::select! {
            () = sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
            _ = terminate.recv() => return Ok(()),
        }
    }
}

/// One stream from its first message to its end. Whether the host said anything on it.
async fn converse(
    stream: &Stream,
    ready: &GuestMessage,
    apply: &mut (dyn FnMut(HostMessage) + Send),
) -> bool {
    if stream.write_frame(ready, GUEST_FRAME_MAX).await.is_err() {
        return false;
    }
    let mut heard = false;
    while let Ok(message) = stream.read_frame(HOST_FRAME_MAX).await {
        heard = true;
        apply(message);
    }
    heard
}

fn apply(message: &HostMessage) {
    match message {
        HostMessage::Shutdown => tell_init(POWER_OFF),
        HostMessage::Time { unix_nanos } => {
            let now = clock_gettime(ClockId::Realtime);
            let now = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
            let result = match correction(now, *unix_nanos) {
                Correction::None => Ok(()),
                Correction::Slew { micros } => sys::clock::slew(micros),
                Correction::Step(time) => clock_settime(ClockId::Realtime, time).map_err(io::Error::from),
            };
            if let Err(error) = result {
                eprintln!("cofferdam-guest: control: clock: {error}");
            }
        }
    }
}

/// What to do about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    None,
    Slew { micros: i64 },
    Step(Timespec),
}

/// Below half a second the clock is slewed, so that it never runs backwards; beyond, it is set. A time that
/// cannot be is ignored.
fn correction(now_nanos: i128, host_nanos: u64) -> Correction {
    /// 2025-01-01, before which this program did not exist, and 2200-01-01.
    const SANE: std::ops::Range<u64> = 1_735_689_600..7_258_118_400;
    const SLEW_BELOW: i128 = 500_000_000;
    let seconds = host_nanos / 1_000_000_000;
    if !SANE.contains(&seconds) {
        return Correction::None;
    }
    let offset = i128::from(host_nanos) - now_nanos;
    if offset.abs() >= SLEW_BELOW {
        return Correction::Step(Timespec {
            tv_sec: seconds as i64,
            tv_nsec: (host_nanos % 1_000_000_000) as i64,
        });
    }
    match (offset / 1000) as i64 {
        0 => Correction::None,
        micros => Correction::Slew { micros },
    }
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn bounded(notes: Vec<String>, max: usize) -> Vec<String> {
    let mut left = max;
    let fits = |note: &String| {
        left = left.saturating_sub(note.len() * 2 + 8);
        left > 0
    };
    notes.into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000_000_000;

    #[test]
    fn the_clock_is_slewed_stepped_or_left_alone() {
        let offset = |nanos: i128| correction(i128::from(NOW), (i128::from(NOW) + nanos) as u64);
        assert_eq!(offset(0), Correction::None);
        assert_eq!(offset(400_000_000), Correction::Slew { micros: 400_000 });
        assert_eq!(offset(-499_999_999), Correction::Slew { micros: -499_999 });
        assert!(matches!(offset(500_000_000), Correction::Step(_)));
        assert!(matches!(offset(-3_600_000_000_000), Correction::Step(_)));
        assert_eq!(correction(i128::from(NOW), 0), Correction::None);
        assert_eq!(correction(i128::from(NOW), u64::MAX), Correction::None);
    }

    #[tokio::test]
    async fn ready_comes_first_on_every_stream_and_shutdown_is_heard() {
        let folder = std::env::temp_dir().join(format!("cofferdam-control-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(port::HOST_CONTROL.to_string());
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let (send, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let host = Host::Folder(folder.clone());
        let guest = tokio::spawn(async move {
            dial_for_ever(&host, vec!["moved".into()], &mut |message| send.send(message).unwrap()).await
        });
        for _ in 0..2 {
            let stream = Stream::new(listener.accept().await.unwrap().0.into_std().unwrap().into()).unwrap();
            let ready: GuestMessage = stream.read_frame(GUEST_FRAME_MAX).await.unwrap();
            assert!(
                matches!(ready, GuestMessage::Ready { version: VERSION, notes, .. } if notes == ["moved"])
            );
            stream.write_frame(&HostMessage::Shutdown, HOST_FRAME_MAX).await.unwrap();
            assert_eq!(heard.recv().await, Some(HostMessage::Shutdown));
        }
        guest.abort();
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn notes_never_break_the_frame() {
        let notes = bounded(vec!["x".repeat(1000); 1000], NOTES_MAX);
        assert!(notes.len() < 20 && !notes.is_empty());
    }
}
