//! The only way out of a sandbox: every stream of the guest ends here, is judged, and is carried or answered.
//!
//! This is the library of the egress process, the only holder of secret values and of the interception key. It
//! opens no file and reads no environment: the keeper hands everything in ([`EgressSetup`]) and hears of everything
//! ([`crate::model::api::EgressReport`]). When the keeper is gone, it ends, and with it every connection.
//!
//! State is in `shared::Shared`; one task per stream (`session`), which owns its connection and its upstream
//! connection; `open` knows the tasks, so that a new policy ends what it forbids.
//!
//! Read `session` first, then `http` and `inject`; `dial` is the world's side, `names` and `dns` the guest's names.
//! What is absent: no name is resolved before it is allowed, no redirect is followed, no response is kept, no
//! connection is shared between two connections of the guest.

#![forbid(unsafe_code)]

mod audit;
mod authority;
mod control;
mod dial;
pub mod dns;
mod faults;
mod http;
mod inject;
mod intercept;
mod io;
mod leaf;
mod limits;
mod names;
mod open;
pub mod overhear;
pub mod proxy;
mod reflect;
mod relay;
mod session;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
};

use tokio::{
    io::Interest,
    sync::{Semaphore, mpsc},
};

use crate::{
    model::{
        api::{self, EgressOrder, EgressReport, EgressSetup, PolicyRevision},
        redacted::Redacted,
    },
    sys::handoff::{self, Handoff},
    wire::port,
};

use self::{
    dial::{Internet, World},
    faults::{Check, Faults},
    shared::Shared,
};

pub use self::authority::{Authority, AuthorityError};

/// What the process was handed when it started.
pub struct Handles {
    /// To the keeper: frames of [`EgressOrder`] down and [`EgressReport`] up. The setup was read from it already.
    pub control: UnixStream,
    /// Handoff socket on which the guest's streams come.
    pub streams: OwnedFd,
    /// The sandbox's interception authority.
    pub authority: Authority,
    /// Secret values, in the order of [`EgressSetup::secrets`].
    pub secrets: Vec<Option<Redacted>>,
}

/// Why egress does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Keeper and egress are of two versions.
    #[error("the keeper speaks version {0} of the egress protocol, this program {version}: restart the sandbox", version = api::VERSION)]
    Version(u16),
    /// Bindings and values do not match.
    #[error("{bindings} secrets are bound but {values} values were handed over")]
    Secrets {
        /// Bindings in the setup.
        bindings: usize,
        /// Values in the handles.
        values: usize,
    },
    /// The interception authority cannot be used.
    #[error("the sandbox's certificate authority cannot be used")]
    Authority(#[source] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A trusted root is not base64.
    #[error("a trusted root certificate in the setup is not base64")]
    Root,
    /// The resolver cannot be set up.
    #[error("the resolver cannot be set up")]
    Resolver(#[source] std::io::Error),
    /// The channel to the keeper broke.
    #[error("the channel to the keeper broke")]
    Control(#[source] std::io::Error),
    /// The socket for streams broke.
    #[error("the socket that brings the guest's streams broke")]
    Streams(#[source] std::io::Error),
}

/// Serves a sandbox until the keeper closes the control channel.
///
/// # Errors
/// When the setup cannot be used, or a channel breaks.
pub async fn run(setup: EgressSetup, handles: Handles) -> Result<(), EgressError> {
    let world = Arc::new(Internet::new(&setup.upstream.nameservers)?);
    serve(setup, handles, world, Faults::default()).await
}

async fn serve(
    setup: EgressSetup,
    mut handles: Handles,
    world: Arc<dyn World>,
    faults: Faults,
) -> Result<(), EgressError> {
    if setup.version != api::VERSION {
        return Err(EgressError::Version(setup.version));
    }
    let ca_pem = handles.authority.certificate_pem.clone();
    let (shared, queue) = Shared::new(setup, &mut handles, world, faults)?;
    let (mut orders, reading, writing) = channel(handles.control, queue)?;
    let streams = handoff_socket(handles.streams).map_err(EgressError::Streams)?;
    let room = Arc::new(Semaphore::new(limits::STREAMS));
    if shared.control.report(EgressReport::Ready { ca_pem }).await.is_err() {
        return Ok(());
    }
    let mut more = true;
    let ended = loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => obey(&shared, order),
                None => break Ok(()),
            },
            stream = next(&streams), if more => match stream {
                Ok(Some(stream)) => admit(&shared, &room, stream).await,
                Ok(None) => more = false,
                Err(error) => break Err(EgressError::Streams(error)),
            },
        }
    };
    writing.abort();
    ended.and(reading.await.unwrap_or(Ok(())))
}

type Reading = tokio::task::JoinHandle<Result<(), EgressError>>;
type Writing = tokio::task::JoinHandle<()>;

fn channel(
    control: UnixStream,
    queue: mpsc::Receiver<EgressReport>,
) -> Result<(mpsc::Receiver<EgressOrder>, Reading, Writing), EgressError> {
    control.set_nonblocking(true).map_err(EgressError::Control)?;
    let control = tokio::net::UnixStream::from_std(control).map_err(EgressError::Control)?;
    let (down, up) = control.into_split();
    let (sender, orders) = mpsc::channel(16);
    Ok((orders, tokio::spawn(control::read(down, sender)), tokio::spawn(control::write(up, queue))))
}

fn obey(shared: &Arc<Shared>, order: EgressOrder) {
    match order {
        EgressOrder::Recorded { ticket } | EgressOrder::Bound { ticket } => {
            shared.control.acknowledge(ticket)
        }
        EgressOrder::Policy(revision) => replace_policy(shared, &revision),
        // The zone has read the setup; a second one would change whom this process serves.
        EgressOrder::Setup(_) => tracing::warn!("a second setup was ignored"),
    }
}

fn replace_policy(shared: &Arc<Shared>, revision: &PolicyRevision) {
    shared.replace_policy(revision);
    let (shared, revision) = (shared.clone(), revision.revision);
    // Apart, because those who wait for a ticket meanwhile need the orders to be read on.
    tokio::spawn(async move {
        let closed = if shared.faults.skips(Check::Reload) { 0 } else { open::judge_again(&shared).await };
        let _gone = shared.control.report(EgressReport::PolicyApplied { revision, closed }).await;
    });
}

/// The handoff socket as tokio knows it: the type is that of a stream socket, only its readiness is used.
fn handoff_socket(socket: OwnedFd) -> std::io::Result<tokio::net::UnixStream> {
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(socket)
}

async fn next(streams: &tokio::net::UnixStream) -> std::io::Result<Option<Handoff>> {
    loop {
        match streams.async_io(Interest::READABLE, || handoff::receive(streams)).await {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "dropped")
            }
            received => return received,
        }
    }
}

async fn admit(shared: &Arc<Shared>, room: &Arc<Semaphore>, handoff: Handoff) {
    if handoff.port != port::HOST_EGRESS && !shared.faults.skips(Check::StreamPort) {
        return;
    }
    let Ok(permit) = room.clone().try_acquire_owned() else {
        if shared.limit_events.take() {
            let attempt =
                audit::Attempt::new("net.connect", "more streams than a sandbox may have".to_owned());
            session::report(shared, audit::deny(&attempt, "streams_full", None)).await;
        }
        return;
    };
    let stream = handoff.stream;
    let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
    let Ok(stream) = stream else { return };
    let shared = shared.clone();
    tokio::spawn(async move {
        session::serve(shared, Box::new(stream)).await;
        drop(permit);
    });
}
