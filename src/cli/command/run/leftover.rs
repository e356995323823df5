//! What `run --rm` leaves nothing of: a signal before the session begins ends the command, and the sandbox that it makes
//! goes with it.
//!
//! Whatever the command does then, it does not go on beside the removal: this process becomes `rm`, in the middle of it.
//! Once the session has begun, signals are the agent's, and the removal follows its end.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::{
        client,
        failure::{Failure, Kind},
        output,
    },
    sys::process,
};

/// The sandbox that is removed with the command.
pub(super) struct Leftover {
    name: String,
    watching: Arc<AtomicBool>,
}

impl Leftover {
    /// From now on SIGINT, SIGTERM and SIGHUP remove the sandbox, before they end this process.
    ///
    /// # Errors
    /// When the handlers cannot be installed: before anything is made.
    pub(super) fn watch(name: &str) -> Result<Self, Failure> {
        let watching = Arc::new(AtomicBool::new(true));
        let (tell, installed) = mpsc::channel();
        let (seen, removed) = (Arc::clone(&watching), name.to_owned());
        thread::spawn(move || {
            let waiting = async {
                let mut signals = match handlers() {
                    Ok(signals) => signals,
                    Err(error) => {
                        drop(tell.send(Err(error)));
                        return Ok(());
                    }
                };
                // Nobody hears it where the command has ended already.
                drop(tell.send(Ok(())));
                loop {
                    let number = next(&mut signals).await;
                    if seen.load(Ordering::SeqCst) {
                        become_removal(&removed, number);
                    }
                }
            };
            client::block_on(waiting)
        });
        let installed = installed.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        installed.map_err(|error| {
            Failure::new(Kind::Failed, "signals", "--rm cannot watch for signals").caused_by(&error)
        })?;
        Ok(Self { name: name.to_owned(), watching })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// From now on signals are another's.
    pub(super) fn rest(&self) {
        self.watching.store(false, Ordering::SeqCst);
    }
}

fn handlers() -> io::Result<[(u8, Signal); 3]> {
    let one = |kind: SignalKind, number| Ok::<_, io::Error>((number, signal(kind)?));
    Ok([one(SignalKind::hangup(), 1)?, one(SignalKind::interrupt(), 2)?, one(SignalKind::terminate(), 15)?])
}

async fn next([first, second, third]: &mut [(u8, Signal); 3]) -> u8 {
    tokio::select! {
        _ = first.1.recv() => first.0,
        _ = second.1.recv() => second.0,
        _ = third.1.recv() => third.0,
    }
}

/// Makes this process `rm --force NAME`, whatever its other threads do; it ends with the signal's exit code.
fn become_removal(name: &str, number: u8) {
    let arguments = ["cofferdam", "rm", "--force", "--after-signal", &number.to_string(), name];
    let environment: Vec<OsString> = std::env::vars_os()
        .map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            variable
        })
        .collect();
    let error = match File::open("/proc/self/exe") {
        Ok(program) => process::execute(program.as_fd(), &arguments.map(OsString::from), &environment),
        Err(error) => error,
    };
    output::warn(&format!("warning: {name} may be left behind: {error}; `cofferdam rm {name}` removes it"));
    std::process::exit(i32::from(128 + number));
}
