//! The life of the process: one connection, from the machine's start to its end.

use std::{io, os::unix::net::UnixListener, sync::Arc};

use rustix::{
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl},
    process::umask,
};
use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use super::{
    FsConfig,
    device::{Device, TagError},
    folder::{Folder, FolderError},
};

/// Why a mount ended other than by the machine's end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The directory cannot be served.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The tag cannot be used.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The socket was not usable.
    #[error("the socket for the machine's file system cannot be listened on; start the sandbox again")]
    Socket(#[source] io::Error),
    /// The device could not be set up.
    #[error("the file system device could not be started ({0}); start the sandbox again")]
    Start(String),
    /// The machine broke the protocol.
    #[error("the machine broke the protocol of its file system device ({0}); see the sandbox's log")]
    Protocol(String),
}

/// Serves one directory to one machine: accepts one vhost-user connection and returns when it ends.
///
/// The listener may be bound, connected to and unlinked by somebody else before: this process needs only `accept`. It
/// sets the process' umask to 0, since the guest sends modes with its own umask applied, and starts threads.
///
/// # Errors
/// See [`ServeError`]; the end of the connection is none.
pub fn serve(listener: UnixListener, tag: &str, config: FsConfig) -> Result<(), ServeError> {
    umask(Mode::empty());
    // With a non-blocking listener the library would spin. By `fcntl`: the jail has no `ioctl`.
    let blocking = fcntl_getfl(&listener).map(|flags| flags - OFlags::NONBLOCK);
    blocking.and_then(|flags| fcntl_setfl(&listener, flags)).map_err(|e| ServeError::Socket(e.into()))?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let device = Arc::new(Device::new(tag, Folder::new(config)?, memory.clone())?);
    let start = |e: DaemonError| ServeError::Start(e.to_string());
    let mut daemon = VhostUserDaemon::new("fs".to_owned(), device, memory).map_err(start)?;
    daemon.start(&mut Listener::from(listener)).map_err(start)?;
    let ended = daemon.wait();
    for rings in daemon.get_epoll_handlers() {
        rings.send_exit_event();
    }
    match ended {
        Ok(())
        | Err(DaemonError::HandleRequest(VhostUserError::Disconnected | VhostUserError::PartialMessage)) => {
            Ok(())
        }
        Err(e) => Err(ServeError::Protocol(e.to_string())),
    }
}
