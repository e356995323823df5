//! The first bytes of every stream to egress: what the guest wants to reach.
//!
//! The header names an address, not a name: the host handed out that address, and looks the name up in a table
//! that the guest cannot write. Nothing in it is believed beyond "the guest asks for this".

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// Bytes of an encoded header.
pub const HEADER_LENGTH: usize = 20;

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A TCP connection that a program in the guest opened to [`StreamHeader::destination`].
    Tcp,
    /// A connection to the explicit HTTP proxy, `http://gateway.cofferdam.internal:3128`.
    Proxy,
    /// DNS messages, each after a big-endian `u16` length (RFC 1035, 4.2.2), both ways, answers in any order.
    Dns,
}

/// Header of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHeader {
    /// What follows.
    pub kind: StreamKind,
    /// Destination of a [`StreamKind::Tcp`] stream; for the others, whatever address the guest was asked on.
    pub destination: SocketAddr,
}

impl StreamHeader {
    /// Version, kind, port (big-endian), address as IPv6 (IPv4 mapped).
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0] = super::VERSION as u8;
        bytes[1] = match self.kind {
            StreamKind::Tcp => 0,
            StreamKind::Proxy => 1,
            StreamKind::Dns => 2,
        };
        bytes[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        let address = match self.destination.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        bytes[4..].copy_from_slice(&address.octets());
        bytes
    }

    /// Parses a header.
    ///
    /// # Errors
    /// When version or kind is unknown.
    pub fn decode(bytes: [u8; HEADER_LENGTH]) -> io::Result<Self> {
        let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if u16::from(bytes[0]) != super::VERSION {
            return invalid("stream header of an unknown version");
        }
        let kind = match bytes[1] {
            0 => StreamKind::Tcp,
            1 => StreamKind::Proxy,
            2 => StreamKind::Dns,
            _ => return invalid("stream header of an unknown kind"),
        };
        let mut octets = [0; 16];
        octets.copy_from_slice(&bytes[4..]);
        let address = Ipv6Addr::from(octets);
        let ip = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
        Ok(Self { kind, destination: SocketAddr::new(ip, u16::from_be_bytes([bytes[2], bytes[3]])) })
    }
}
