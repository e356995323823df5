//! TCP connections to anywhere, one stream to the host each.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, Shutdown, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::net::{SocketFlags, accept_with, getsockname, sockopt};
use tokio::{io::Interest, sync::Semaphore};

use super::{DNS_PORT, PROXY_PORT, RESOLVER};
use crate::{
    stream::{Host, Stream},
    sys::awaited,
    wire::{StreamHeader, StreamKind, port},
};

/// Connections at a time. Beyond, a connection is reset: a program that opens so many has gone wrong, and each
/// costs the host a stream.
pub const CONNECTIONS_MAX: usize = 4096;
/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;

thread_local! {
    /// One buffer for all connections: it is only in use between a read and the write that follows it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Accepts and relays for ever, at most `limit` at a time.
///
/// # Errors
/// When the listener fails.
pub async fn accept_for_ever(listener: OwnedFd, host: Host, limit: usize) -> io::Result<()> {
    let listener = awaited(listener)?;
    let places = Arc::new(Semaphore::new(limit));
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let accepted =
            listener.async_io(Interest::READABLE, |fd| accept_with(fd, flags).map_err(io::Error::from)).await;
        let socket = match accepted {
            Ok(socket) => socket,
            // Gone before it was accepted, or no descriptor left, which the limit prevents.
            Err(error) if is_transient(&error) => continue,
            Err(error) => return Err(error),
        };
        let Ok(client) = Stream::new(socket) else { continue };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            client.reset_on_close();
            continue;
        };
        let host = host.clone();
        tokio::spawn(async move {
            if relay(&client, &host).await.is_err() {
                // Whatever went wrong, the program must not take it for an orderly end.
                client.reset_on_close();
            }
            drop(place);
        });
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::EINTR
                | libc::EPERM
                | libc::ENETDOWN
                | libc::EHOSTUNREACH
        )
    )
}

async fn relay(client: &Stream, host: &Host) -> io::Result<()> {
    let _ = sockopt::set_tcp_nodelay(client, true);
    let destination = destination(client)?;
    let stream = host.dial(port::HOST_EGRESS).await?;
    stream.write_all(&StreamHeader { kind: kind(destination), destination }.encode()).await?;
    join(client, &stream).await
}

/// Joins two streams until both directions have ended. A side that takes no more ends nothing but that direction: what
/// it said last still arrives.
///
/// # Errors
/// When one of them breaks: what it would still have said is lost.
pub async fn join(left: &Stream, right: &Stream) -> io::Result<()> {
    tokio::try_join!(pump(left, right), pump(right, left)).map(drop)
}

/// Where the program wanted to go: the address that the kernel accepted the connection on.
fn destination(client: impl AsFd) -> io::Result<SocketAddr> {
    let address = SocketAddr::try_from(getsockname(client)?)?;
    Ok(match address.ip() {
        IpAddr::V6(v6) => {
            let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
            SocketAddr::new(ip, address.port())
        }
        IpAddr::V4(_) => address,
    })
}

fn kind(destination: SocketAddr) -> StreamKind {
    match (destination.ip(), destination.port()) {
        (IpAddr::V4(RESOLVER), PROXY_PORT) => StreamKind::Proxy,
        (_, DNS_PORT) => StreamKind::Dns,
        _ => StreamKind::Tcp,
    }
}

/// Moves bytes one way until the end, which it passes on; the other way goes on.
async fn pump(from: &Stream, to: &Stream) -> io::Result<()> {
    loop {
        from.readable().await?;
        let moved = SCRATCH.with_borrow_mut(|scratch| move_once(from, to, scratch));
        match moved {
            Ok(Moved::End) => {
                to.shutdown(Shutdown::Write);
                return Ok(());
            }
            Ok(Moved::All) => {}
            Ok(Moved::Left(rest)) if to.write_all(&rest).await.is_ok() => {}
            Ok(Moved::Left(_) | Moved::Refused) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

enum Moved {
    All,
    /// What the other side had no room for.
    Left(Vec<u8>),
    /// The other side takes no more.
    Refused,
    End,
}

fn move_once(from: &Stream, to: &Stream, scratch: &mut [u8]) -> io::Result<Moved> {
    let length = from.try_read(scratch)?;
    if length == 0 {
        return Ok(Moved::End);
    }
    match to.try_write(&scratch[..length]) {
        Ok(written) if written == length => Ok(Moved::All),
        Ok(written) => Ok(Moved::Left(scratch[written..length].to_vec())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Moved::Left(scratch[..length].to_vec()))
        }
        Err(_) => Ok(Moved::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_tells_the_kind() {
        for (destination, expected) in [
            ("203.0.113.5:443", StreamKind::Tcp),
            ("198.18.0.1:3128", StreamKind::Proxy),
            ("198.18.0.1:80", StreamKind::Tcp),
            ("203.0.113.5:3128", StreamKind::Tcp),
            ("198.18.0.1:53", StreamKind::Dns),
            ("[2001:db8::1]:53", StreamKind::Dns),
        ] {
            assert_eq!(kind(destination.parse().unwrap()), expected, "{destination}");
        }
    }
}
