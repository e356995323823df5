//! The keeper's side of the vsock: the guest's control channel, and streams to its exec server. Everything the guest
//! says is hostile: bounded, versioned, and it grants nothing.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream as StdUnixStream,
    rc::Rc,
    time::SystemTime,
};

use tokio::{
    io::unix::AsyncFd,
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::mpsc,
};

use super::frames;
use crate::{
    sys::{handoff, readiness},
    wire::{
        self, GuestMessage, HostMessage,
        frame::{GUEST_FRAME_MAX, HOST_FRAME_MAX},
        port,
    },
};

/// Most notes that are kept of one guest, and the longest, in characters.
const NOTES_MAX: usize = 32;
const NOTE_CHARS_MAX: usize = 300;

/// What the guest said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It answers.
    Ready { kernel: String, notes: Vec<String> },
    /// It goes down by itself.
    Stopping,
}

/// Streams to and from the guest.
#[derive(Clone)]
pub(super) struct GuestLink {
    socket: Rc<AsyncFd<OwnedFd>>,
    control: Rc<RefCell<Option<OwnedWriteHalf>>>,
}

impl GuestLink {
    /// Takes over the keeper's end of the `vsock` zone's handoff socket.
    pub(super) fn new(socket: OwnedFd, said: mpsc::UnboundedSender<Said>) -> io::Result<Self> {
        let link = Self { socket: Rc::new(readiness::watch(socket)?), control: Rc::default() };
        tokio::task::spawn_local(link.clone().accept(said));
        Ok(link)
    }

    /// Dials `guest_port`. The stream ends at once when the guest refuses.
    pub(super) async fn dial(&self, guest_port: u32) -> io::Result<UnixStream> {
        let (near, far) = StdUnixStream::pair()?;
        loop {
            let mut ready = self.socket.writable().await?;
            if let Ok(sent) = ready.try_io(|socket| handoff::send(socket, guest_port, far.as_fd())) {
                sent?;
                break;
            }
        }
        near.set_nonblocking(true)?;
        UnixStream::from_std(near)
    }

    /// Tells the guest; quietly nothing when its control channel is down.
    pub(super) async fn tell(&self, message: &HostMessage) -> bool {
        let Some(mut stream) = self.control.borrow_mut().take() else { return false };
        let told = frames::write(&mut stream, message, HOST_FRAME_MAX).await.is_ok();
        let mut control = self.control.borrow_mut();
        // The guest may have dialled anew meanwhile: the newer stream counts.
        if told && control.is_none() {
            *control = Some(stream);
        }
        told
    }

    /// Tells the guest the time.
    pub(super) async fn tell_time(&self) {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.tell(&HostMessage::Time { unix_nanos }).await;
    }

    async fn accept(self, said: mpsc::UnboundedSender<Said>) {
        let mut reader: Option<tokio::task::JoinHandle<()>> = None;
        loop {
            let Ok(mut ready) = self.socket.readable().await else { return };
            let Ok(received) = ready.try_io(handoff::receive) else { continue };
            // The zone is gone, or no longer itself: its end is noticed by the launcher.
            let Ok(Some(stream)) = received else { return };
            if stream.port != port::HOST_CONTROL || stream.stream.set_nonblocking(true).is_err() {
                continue;
            }
            let Ok(stream) = UnixStream::from_std(stream.stream) else { continue };
            let (read, write) = stream.into_split();
            self.control.replace(Some(write));
            if let Some(older) = reader.take() {
                older.abort();
            }
            reader = Some(tokio::task::spawn_local(listen(read, said.clone())));
        }
    }
}

async fn listen(mut stream: tokio::net::unix::OwnedReadHalf, said: mpsc::UnboundedSender<Said>) {
    while let Ok(Some(message)) = frames::read::<GuestMessage>(&mut stream, GUEST_FRAME_MAX).await {
        let heard = match message {
            GuestMessage::Ready { version, kernel, notes } if version == wire::VERSION => Said::Ready {
                kernel: bounded(&kernel),
                notes: notes.iter().take(NOTES_MAX).map(|n| bounded(n)).collect(),
            },
            GuestMessage::Ready { .. } => return,
            GuestMessage::Stopping => Said::Stopping,
        };
        if said.send(heard).is_err() {
            return;
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NOTE_CHARS_MAX).collect()
}
