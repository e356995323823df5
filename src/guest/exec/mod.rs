//! The exec server: starts what the host asks for, one stream per command.
//!
//! ```text
//! stream ─▶ request ─▶ account, environment, program ─▶ launch ─▶ reply
//!                                                          │
//!     stdin packets ─▶ queue (the window bounds it) ─▶ pipe or terminal ─▶ Window
//!     stdout, stderr ─▶ packets;  signals, sizes: at once;  end ─▶ drain ─▶ Exit
//! ```
//!
//! One thread serves all streams. Only the host can reach it (the listener looks at the peer's context id), so a
//! request is obeyed as it stands; its lengths are bounded all the same.

mod account;
mod input;
mod output;
mod request;
mod session;
mod terminal;

pub use self::account::{Account, find as account};

#[cfg(test)]
mod tests;

use std::{fs::OpenOptions, io, os::fd::OwnedFd, sync::Arc};

use crate::{
    boot, files,
    handover::{Handover, READY, tell_init},
    stream::Listener,
    wire::port,
};

/// What all commands have in common.
#[derive(Debug)]
pub struct Settings {
    /// What boot found out.
    pub handover: Handover,
    /// The agent's cgroup, open for joining.
    pub agent_procs: Option<OwnedFd>,
}

/// Runs as the `exec` child.
///
/// # Errors
/// When it cannot listen.
pub fn serve() -> io::Result<()> {
    let handover = Handover::from_stdin()?;
    boot::shield_server();
    raise_descriptor_limit();
    let agent_procs = match &handover.agent_procs {
        Some(path) => Some(OpenOptions::new().write(true).open(path)?.into()),
        None => None,
    };
    let settings = Arc::new(Settings { handover, agent_procs });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = Listener::vsock(port::GUEST_EXEC)?;
        let requests = Listener::vsock(port::GUEST_FILES)?;
        tell_init(READY);
        let handover = &Arc::clone(&settings).handover;
        let files = files::accept_for_ever(&requests, handover);
        tokio::try_join!(accept_for_ever(&listener, settings), files).map(drop)
    })
}

/// The servers need more descriptors than the 1,024 that programs start with.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

async fn accept_for_ever(listener: &Listener, settings: Arc<Settings>) -> io::Result<()> {
    loop {
        let stream = listener.accept().await?;
        let settings = Arc::clone(&settings);
        tokio::spawn(async move {
            // The host went away in the middle: the session has cleaned up, and nobody is there to be told.
            let _ = session::run(Arc::new(stream), &settings).await;
        });
    }
}
