//! The guest's network: everything that is not its own goes to the host, stream by stream.
//!
//! There is no card. A route makes every address local, a socket lookup program hands each TCP connection to one
//! listener, and the listener relays it over vsock with the address that the program asked for. UDP port 53 is
//! answered by way of the host; the kernel refuses other UDP, because nobody listens.
//!
//! ```text
//! connect(203.0.113.5:443) ─▶ lo ─▶ sk_lookup ─▶ listener ─▶ vsock EGRESS: header{Tcp, 203.0.113.5:443}, bytes
//! sendto(198.18.0.1:53)    ─▶ lo ─▶ socket on *:53 ─▶ vsock EGRESS: header{Dns}, messages with ids of ours
//! 127.0.0.0/8, ::1, the prefixes of the guest's own bridges ─▶ as on any machine
//! ```
//!
//! The other way round, the host may ask for a connection to a port of the loopback: [`publish`].
//!
//! None of it is a boundary: what the host does not permit does not happen, whatever runs here.

mod addresses;
mod dns;
mod dns_message;
mod lookup;
mod netlink;
mod publish;
mod relay;
mod route;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::{
    boot, exec,
    handover::{Handover, READY, tell_init},
    stream::{Host, Listener},
    wire::port,
};

/// The guest's own address, where its resolver and the explicit proxy answer.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Port of the explicit proxy on [`RESOLVER`].
pub const PROXY_PORT: u16 = 3128;
/// Port of the resolver.
pub const DNS_PORT: u16 = 53;

/// Runs as the `net` child.
///
/// # Errors
/// When the network cannot be set up, or its service ends.
pub fn serve() -> io::Result<()> {
    Handover::from_stdin()?;
    boot::shield_server();
    exec::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let network = Network::set_up()?;
        let published = Listener::vsock(port::GUEST_PORTS)?;
        tell_init(READY);
        let network = network.run(Host::Vsock, relay::CONNECTIONS_MAX);
        tokio::try_join!(network, publish::accept_for_ever(&published)).map(drop)
    })
}

/// A network that is set up. It lasts as long as this value: without it, connections are refused.
#[derive(Debug)]
struct Network {
    addresses: addresses::Watch,
    lookup: lookup::Lookup,
    listener: OwnedFd,
    resolvers: [OwnedFd; 2],
}

impl Network {
    /// Sets up the network namespace of the calling thread.
    fn set_up() -> io::Result<Self> {
        route::set_up()?;
        let listener = listen_everywhere()?;
        let lookup = lookup::Lookup::attach(listener.as_fd())?;
        let resolvers = [dns::socket(false)?, dns::socket(true)?];
        Ok(Self { addresses: addresses::Watch::open()?, lookup, listener, resolvers })
    }

    /// Serves until something fails.
    async fn run(self, host: Host, connections_max: usize) -> io::Result<()> {
        let [v4, v6] = self.resolvers;
        tokio::try_join!(
            self.addresses.keep(self.lookup),
            relay::accept_for_ever(self.listener, host.clone(), connections_max),
            dns::serve(v4, v6, host),
        )
        .map(drop)
    }
}

/// A dual-stack listener on a port of the kernel's choice; the lookup program ignores ports.
fn listen_everywhere() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None)?;
    sockopt::set_ipv6_v6only(&listener, false)?;
    bind(&listener, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))?;
    listen(&listener, 1024)?;
    Ok(listener)
}
