//! Ports of the guest on the host's loopback. Only the host's side decides what is published: the guest answers a
//! connection or refuses it, and can neither make the keeper listen nor make it connect.
//!
//! ```text
//! client ─TCP─▶ 127.0.0.1:HOST (keeper) ─vsock─▶ guest ─TCP─▶ 127.0.0.1:GUEST, else [::1]:GUEST
//! ```
//!
//! Sockets are bound before the machine starts, so that a port that is taken keeps it from starting; connections wait in
//! the kernel's queue until the guest answers.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{Ipv4Addr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::guest_link::GuestLink;
use crate::{
    model::{desired::Port, status::PublishedPort},
    sys::relay,
    wire::{
        PortRequest, port,
        ports::{CONNECTED, REFUSED},
    },
};

/// How many ports above a wish are tried before any free one is taken.
const SEARCH: u16 = 100;
/// Connections of all ports of one sandbox at a time; more are reset.
const CONNECTIONS_MAX: usize = 512;
/// How long the guest may take to connect, beyond the patience that it was given.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Pause after accept(2) failed: it does when this process has no descriptor left, and nothing tells when it has again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why a port is not published.
#[derive(Debug, thiserror::Error)]
pub(super) enum PortError {
    /// Somebody else listens there, and no other port will do.
    #[error(
        "port {port} of 127.0.0.1 is taken, and `ports` says `fixed: true`{place}; free it, or leave out `fixed` to get the next free one"
    )]
    Taken { port: u16, place: String },
    /// The host refuses the port, and no other will do.
    #[error("port {port} of 127.0.0.1 cannot be had{place}: {source}")]
    Refused { port: u16, place: String, source: io::Error },
    /// No port at all.
    #[error("no port of 127.0.0.1 can be had for port {guest} of the sandbox: {source}")]
    None { guest: u16, source: io::Error },
}

/// The published ports of one sandbox.
pub(super) struct Ports {
    published: RefCell<Vec<Published>>,
    /// Set once the guest answers.
    guest: RefCell<Option<GuestLink>>,
    places: Arc<Semaphore>,
}

struct Published {
    wanted: Port,
    host: u16,
    listener: Cell<Option<StdListener>>,
    /// Ends the listener and every connection through it.
    task: RefCell<Option<AbortHandle>>,
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.abort();
        }
    }
}

impl Ports {
    /// Binds every port, or none.
    pub(super) fn bind(wanted: &[Port]) -> Result<Self, PortError> {
        let ports = Self {
            published: RefCell::default(),
            guest: RefCell::default(),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        };
        ports.change(wanted)?;
        Ok(ports)
    }

    /// Serves from now on: the guest answers.
    pub(super) fn serve(&self, guest: &GuestLink) {
        if self.guest.borrow().is_none() {
            self.guest.replace(Some(guest.clone()));
        }
        for published in self.published.borrow().iter() {
            self.start(published, guest);
        }
    }

    /// Makes the published ports those that are wanted. What is not wanted any more is closed first, its connections
    /// with it; what stays is not touched. Those that can be had are published even where another one cannot.
    pub(super) fn change(&self, wanted: &[Port]) -> Result<(), PortError> {
        let same = |a: &Port, b: &Port| (a.guest, a.host, a.fixed) == (b.guest, b.host, b.fixed);
        self.published.borrow_mut().retain(|old| wanted.iter().any(|port| same(port, &old.wanted)));
        let mut missing: Vec<&Port> = wanted
            .iter()
            .filter(|port| !self.published.borrow().iter().any(|old| same(port, &old.wanted)))
            .collect();
        // Those that take no other port come before those that would take it from them.
        missing.sort_by_key(|port| !port.fixed);
        let mut first_error = None;
        for port in missing {
            match listen(port) {
                Ok((listener, host)) => {
                    let listener = Cell::new(Some(listener));
                    let published =
                        Published { wanted: port.clone(), host, listener, task: RefCell::default() };
                    if let Some(guest) = self.guest.borrow().as_ref() {
                        self.start(&published, guest);
                    }
                    self.published.borrow_mut().push(published);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// What is published, in the order of the guest's ports.
    pub(super) fn list(&self) -> Vec<PublishedPort> {
        let published = self.published.borrow();
        let address = Ipv4Addr::LOCALHOST.to_string();
        let mut list: Vec<PublishedPort> = published
            .iter()
            .map(|one| PublishedPort { guest: one.wanted.guest, host: one.host, address: address.clone() })
            .collect();
        list.sort_by_key(|one| (one.guest, one.host));
        list
    }

    fn start(&self, published: &Published, guest: &GuestLink) {
        let Some(listener) = published.listener.take() else { return };
        let serving = accept(listener, published.wanted.guest, guest.clone(), Arc::clone(&self.places));
        let task = tokio::task::spawn_local(async move {
            // It fails only where the runtime does.
            let _ = serving.await;
        });
        published.task.replace(Some(task.abort_handle()));
    }
}

/// A listener on the loopback for one port, and where it listens.
fn listen(port: &Port) -> Result<(StdListener, u16), PortError> {
    let wish = port.host.unwrap_or(port.guest);
    let place = match (&port.origin.file, port.origin.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    let last = if port.fixed { wish } else { wish.saturating_add(SEARCH) };
    for candidate in wish.max(1)..=last {
        match bind(candidate) {
            Ok(listener) => return Ok((listener, candidate)),
            Err(error) if port.fixed && error.kind() == io::ErrorKind::AddrInUse => {
                return Err(PortError::Taken { port: wish, place });
            }
            Err(source) if port.fixed => return Err(PortError::Refused { port: wish, place, source }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // A port below 1024 that this user may not have: so are its neighbours.
            Err(_) => break,
        }
    }
    let any = bind(0).and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
    match any {
        Ok((host, listener)) => Ok((listener, host)),
        Err(source) => Err(PortError::None { guest: port.guest, source }),
    }
}

fn bind(port: u16) -> io::Result<StdListener> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts until it is aborted, and every connection with it.
async fn accept(
    listener: StdListener,
    guest_port: u16,
    guest: GuestLink,
    places: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let _ = client.set_zero_linger();
            continue;
        };
        let guest = guest.clone();
        connections.spawn_local(async move {
            carry(client, guest_port, &guest).await;
            drop(place);
        });
    }
}

/// One connection from its first byte to its last. Where there is no server, or something breaks, the client sees a
/// reset and no orderly end.
async fn carry(mut client: TcpStream, guest_port: u16, guest: &GuestLink) {
    let _ = client.set_nodelay(true);
    let joined = match connect(guest, guest_port, Duration::ZERO).await {
        Ok(Some(stream)) => relay::join(&mut client, stream).await,
        Ok(None) | Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
    };
    if joined.is_err() {
        let _ = client.set_zero_linger();
    }
}

/// Connects to a port of the guest's loopback; `None` when nobody has listened there for as long as `patience`.
///
/// # Errors
/// When the guest does not answer, or not as it should.
pub(super) async fn connect(
    guest: &GuestLink,
    guest_port: u16,
    patience: Duration,
) -> io::Result<Option<UnixStream>> {
    let asked = async {
        let mut stream = guest.dial(port::GUEST_PORTS).await?;
        let patience_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        stream.write_all(&PortRequest { port: guest_port, patience_ms }.encode()).await?;
        match stream.read_u8().await? {
            CONNECTED => Ok(Some(stream)),
            REFUSED => Ok(None),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the guest's answer is none")),
        }
    };
    timeout(patience.saturating_add(ANSWER_LIMIT), asked).await.map_err(io::Error::other)?
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
