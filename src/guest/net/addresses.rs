//! Which addresses are the guest's own: those of its interfaces other than loopback (a container engine's
//! bridges). Level-triggered: each change only makes us read all of them again.

use std::{collections::BTreeSet, io, net::IpAddr, os::fd::OwnedFd};

use super::{
    lookup::{Lookup, Prefix},
    netlink::{self, Message, Request},
};
use crate::stream::Stream;

// linux/if_addr.h and linux/rtnetlink.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;
/// Bytes of `struct ifaddrmsg`.
const FIXED: usize = 8;
const LOOPBACK: u32 = 1;

/// A subscription to changes of addresses.
#[derive(Debug)]
pub struct Watch {
    changes: Stream,
    questions: OwnedFd,
}

impl Watch {
    /// Subscribes in the calling thread's network namespace.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn open() -> io::Result<Self> {
        let changes = netlink::open(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, false)?;
        Ok(Self { changes: Stream::new(changes)?, questions: netlink::open(0, true)? })
    }

    /// Keeps `lookup` current for ever.
    ///
    /// # Errors
    /// When addresses cannot be read any more. A map that is full is no reason: the surplus is relayed.
    pub async fn keep(self, mut lookup: Lookup) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            if let Err(error) = lookup.set_own(self.present()?) {
                eprintln!("cofferdam-guest: net: own prefixes: {error}");
            }
            match self.changes.read(&mut buffer).await {
                // Announcements were lost: reading everything again is what one would do anyway.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                result => drop(result?),
            }
            while self.changes.try_read(&mut buffer).is_ok() {}
        }
    }

    fn present(&self) -> io::Result<BTreeSet<Prefix>> {
        let mut found = BTreeSet::new();
        let request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; FIXED]);
        netlink::ask(&self.questions, &request, |message| found.extend(prefixes(message)))?;
        Ok(found)
    }
}

/// The prefixes that one answer tells: the network, and the address itself where the network is the peer's.
fn prefixes(message: &Message<'_>) -> Vec<Prefix> {
    let Some((fixed, rest)) = message.body.split_at_checked(FIXED) else { return Vec::new() };
    let index = u32::from_ne_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    if message.kind != libc::RTM_NEWADDR || index == LOOPBACK {
        return Vec::new();
    }
    let prefix = |(kind, value): (u16, &[u8])| {
        let address = address(value)?;
        match kind {
            IFA_ADDRESS => Prefix::new(address, fixed[1]),
            IFA_LOCAL => Prefix::new(address, if address.is_ipv4() { 32 } else { 128 }),
            _ => None,
        }
    };
    netlink::attributes(rest).filter_map(prefix).collect()
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(index: u32) -> Vec<u8> {
        let mut body = vec![libc::AF_INET as u8, 16, 0, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        body.extend_from_slice(&[8, 0, 1, 0, 172, 17, 0, 1, 8, 0, 2, 0, 172, 17, 0, 1]);
        body
    }

    #[test]
    fn loopbacks_addresses_are_not_the_guests_own() {
        let own = |index| prefixes(&Message { kind: libc::RTM_NEWADDR, body: &message(index) }).len();
        assert_eq!((own(1), own(2)), (0, 2));
        assert_eq!(prefixes(&Message { kind: libc::RTM_NEWADDR, body: &[1, 2, 3] }), []);
    }
}
