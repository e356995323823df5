//! A terminal with a command in it.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// The side of the person at the keyboard.
pub struct Terminal {
    screen: File,
    seen: String,
    /// What runs on it.
    pub child: Child,
}

/// How long a screen may take to show something.
const LIMIT: Duration = Duration::from_secs(60);

impl Terminal {
    /// Starts a command on a terminal of this many rows and columns. It has to lead a session of its own: start it by
    /// `setsid --ctty`.
    pub fn start(rows: u16, columns: u16, command: &mut Command) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the host has terminals");
        grantpt(&screen).expect("it is ours");
        unlockpt(&screen).expect("it is ours");
        let name = ptsname(&screen, Vec::new()).expect("it has a name");
        let name = name.into_string().expect("a plain name");
        let screen = File::from(screen);
        let side =
            || -> Stdio { OpenOptions::new().read(true).write(true).open(&name).expect("unlocked").into() };
        tcsetwinsize(&screen, size(rows, columns)).expect("a terminal");
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("it starts");
        // A further end of the terminal in this process would keep it alive.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { screen, seen: String::new(), child }
    }

    /// Types.
    pub fn enter(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).expect("the terminal is there");
    }

    /// Changes the window.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        tcsetwinsize(&self.screen, size(rows, columns)).expect("a terminal");
    }

    /// Waits until the screen shows something, and forgets what came before its end.
    #[track_caller]
    pub fn await_text(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: i64::try_from(left.as_secs()).expect("a minute"), tv_nsec: 0 };
            let mut bytes = [0; 4096];
            let ready =
                poll(&mut [PollFd::new(&self.screen, PollFlags::IN)], Some(&left)).expect("a terminal");
            assert!(ready > 0, "the screen shows {:?} and not {text:?}", self.seen);
            let read = self.screen.read(&mut bytes).unwrap_or(0);
            assert!(read > 0, "the terminal ended with {:?}, without {text:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    /// Closes the window, as a person does.
    pub fn close(self) -> Child {
        self.child
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
