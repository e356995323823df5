//! The device as a vhost-user process: QEMU's `vhost-user-vsock-pci` at the other end of one socket.
//!
//! One thread waits on the vhost-user socket, the rings' kicks and the core's descriptor. The process may be jailed
//! before this is called: it accepts on the listener, makes socket pairs, maps the memory that QEMU sends, and asks
//! for nothing else.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    time::Timespec,
};
use vhost::vhost_user::{BackendReqHandler, Error as RequestError};

use super::{
    core::{Core, Limits},
    device::Device,
    routes::Routes,
    session::Session,
};

/// Why the device ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The handed-in sockets cannot be used.
    #[error("vsock device cannot be set up; check the descriptor limit and the sockets that it was given")]
    Setup(#[source] io::Error),
    /// QEMU cannot be reached.
    #[error("vsock device cannot accept the machine's connection; was the listener handed in?")]
    Accept(#[source] io::Error),
    /// QEMU asked for something that makes no sense. The machine has to be restarted.
    #[error("vsock device got a wrong vhost-user request; restart the sandbox")]
    Request(#[source] RequestError),
    /// The kernel refuses to wait.
    #[error("vsock device cannot wait for events; restart the sandbox")]
    Wait(#[source] io::Error),
}

/// Who woke the loop. Kicks count up from [`KICKS`]: they need no handling but that the rings are served.
const REQUEST: u64 = 0;
const CORE: u64 = 1;
pub(super) const KICKS: u64 = 2;

/// Serves one vhost-user connection on the listener until the machine closes it.
///
/// # Errors
/// See [`ServeError`]. Nothing that the guest's kernel does ends the device.
pub fn serve(listener: UnixListener, guest_cid: u64, routes: Routes) -> Result<(), ServeError> {
    let core = Core::new(guest_cid, routes, Limits::default()).map_err(ServeError::Setup)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| ServeError::Setup(error.into()))?;
    let watch = |fd: BorrowedFd<'_>, source| {
        epoll::add(&epoll, fd, EventData::new_u64(source), EventFlags::IN)
            .map_err(|error| ServeError::Setup(error.into()))
    };
    watch(core.as_fd(), CORE)?;
    let (socket, _) = listener.accept().map_err(ServeError::Accept)?;
    drop(listener);
    watch(socket.as_fd(), REQUEST)?;

    let epoll = Arc::new(epoll);
    let session = Arc::new(Mutex::new(Session::new(Device::new(core), Arc::clone(&epoll))));
    let requests = BackendReqHandler::from_stream(socket, Arc::clone(&session));
    run(requests, &session, &epoll)
}

fn run(
    mut requests: BackendReqHandler<Mutex<Session>>,
    session: &Mutex<Session>,
    epoll: &OwnedFd,
) -> Result<(), ServeError> {
    let mut more = false;
    loop {
        for source in wait(epoll, more).map_err(ServeError::Wait)? {
            match source {
                REQUEST => match requests.handle_request() {
                    Ok(()) => {}
                    Err(error) if is_hang_up(&error) => return Ok(()),
                    Err(error) => return Err(ServeError::Request(error)),
                },
                CORE => lock(session).device().core().process_events().map_err(ServeError::Wait)?,
                _ => {}
            }
        }
        more = lock(session).serve_rings();
    }
}

/// The sources that have something. Does not wait when there is more to do anyway.
fn wait(epoll: &OwnedFd, more: bool) -> io::Result<Vec<u64>> {
    const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut space = [MaybeUninit::uninit(); 8];
    match epoll::wait(epoll, &mut space, more.then_some(&NOW)) {
        Ok((events, _)) => Ok(events.iter().map(|event| event.data.u64()).collect()),
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// QEMU has ended, in whichever way: the library reports a closed socket as part of a message.
fn is_hang_up(error: &RequestError) -> bool {
    matches!(error, RequestError::Disconnected | RequestError::PartialMessage | RequestError::SocketBroken(_))
}

/// There is one thread, so nobody holds it and nobody died holding it; the library asks for a mutex.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
