//! The keeper's side of the launcher's socket.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use serde::Serialize;
use tokio::{
    io::unix::AsyncFd,
    sync::{Mutex, mpsc},
};

use super::output::{self, Log};
use crate::{
    sys::{memory_file, packet, readiness},
    zones::launcher::{MESSAGE_MAX, Notice, Request},
};

/// A zone has ended, or could not be started.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which role.
    pub role: &'static str,
    /// How, in words.
    pub how: String,
    /// Whether it ran at all.
    pub started: bool,
    /// Whether no signal ended it.
    by_itself: bool,
}

impl Ended {
    /// Whether it is a device whose other end has gone.
    pub(super) fn is_let_go(&self) -> bool {
        self.started && self.by_itself && matches!(self.role, "vsock" | "fs")
    }
}

/// Starts zones through the launcher and hears of their end.
pub(super) struct LauncherLink {
    socket: Rc<AsyncFd<OwnedFd>>,
    roles: Rc<Mutex<HashMap<u32, &'static str>>>,
    next_tag: std::cell::Cell<u32>,
    log: Rc<Log>,
}

impl LauncherLink {
    /// Takes the socket over; ends of zones are sent to `ended`.
    pub(super) fn new(
        socket: OwnedFd,
        log: Rc<Log>,
        ended: mpsc::UnboundedSender<Ended>,
    ) -> io::Result<Self> {
        let socket = Rc::new(readiness::watch(socket)?);
        let roles = Rc::new(Mutex::new(HashMap::new()));
        tokio::task::spawn_local(listen(Rc::clone(&socket), Rc::clone(&roles), Rc::clone(&log), ended));
        Ok(Self { socket, roles, next_tag: std::cell::Cell::new(1), log })
    }

    /// Has a zone started with its configuration and its own descriptors.
    pub(super) async fn start(
        &self,
        role: &'static str,
        config: &impl Serialize,
        own: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let tag = self.next_tag.replace(self.next_tag.get() + 1);
        let config = memory_file::sealed(role, &serde_json::to_vec(config)?)?;
        let (heard, stderr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        output::keep_lines(role, heard, Rc::clone(&self.log))?;
        self.roles.lock().await.insert(tag, role);
        let mut passed = vec![config, stderr];
        passed.extend(own);
        let borrowed: Vec<BorrowedFd<'_>> = passed.iter().map(AsFd::as_fd).collect();
        self.send(&Request::Start { role: role.to_owned(), tag }, &borrowed).await
    }

    /// Has every zone killed, the machine first.
    pub(super) async fn kill_all(&self) {
        let mut running: Vec<(u32, &str)> =
            self.roles.lock().await.iter().map(|(tag, role)| (*tag, *role)).collect();
        running.sort_by_key(|(tag, role)| (*role != "vmm", *tag));
        for (tag, _) in running {
            // The launcher is gone only when everything is.
            let _ = self.send(&Request::Kill { tag }, &[]).await;
        }
    }

    /// Whether no zone is left.
    pub(super) async fn is_empty(&self) -> bool {
        self.roles.lock().await.is_empty()
    }

    async fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let message = serde_json::to_vec(request)?;
        loop {
            let mut ready = self.socket.writable().await?;
            if let Ok(done) = ready.try_io(|socket| packet::send(socket, &message, descriptors)) {
                return done;
            }
        }
    }
}

async fn listen(
    socket: Rc<AsyncFd<OwnedFd>>,
    roles: Rc<Mutex<HashMap<u32, &'static str>>>,
    log: Rc<Log>,
    ended: mpsc::UnboundedSender<Ended>,
) {
    loop {
        let message = match socket.readable().await {
            Ok(mut ready) => match ready.try_io(|socket| packet::receive(socket, MESSAGE_MAX)) {
                Ok(message) => message,
                Err(_) => continue,
            },
            Err(error) => Err(error),
        };
        let notice = match message {
            Ok(Some((bytes, _))) => serde_json::from_slice(&bytes),
            // The launcher ends after the keeper; a lost socket means that it was killed, and the lifeline says so.
            Ok(None) | Err(_) => return,
        };
        let (tag, how, started, by_itself) = match notice {
            Ok(Notice::Started { .. }) | Err(_) => continue,
            Ok(Notice::Failed { tag, message }) => (tag, message, false, true),
            Ok(Notice::Exited { tag, code, signal }) => (tag, describe(code, signal), true, signal.is_none()),
        };
        if let Some(role) = roles.lock().await.remove(&tag) {
            // Its last line is in the pipe by now; let it be read first.
            tokio::task::yield_now().await;
            let how = log.last_line(role).map_or(how.clone(), |line| format!("{how}: {line}"));
            let _ = ended.send(Ended { role, how, started, by_itself });
        }
    }
}

fn describe(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (_, Some(signal)) => format!("killed by signal {signal}"),
        (Some(code), None) => format!("exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
