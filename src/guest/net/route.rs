//! Loopback up, every address local, no answer to pings.
//!
//! IPv4's route lies in the `local` table: only there does the kernel accept such an address as the *source* of a
//! refusal, so that UDP fails at once instead of in silence. While no rule is added, that table and `main` are
//! one, so more specific routes (a nested bridge) still win. IPv6 needs neither: there the tables are always two,
//! so its route lies in `main`, behind the bridges'.

use std::{fs, io};

use super::{
    RESOLVER,
    netlink::{self, Request},
};

/// Loopback is the first interface of every network namespace.
const LOOPBACK: u32 = 1;

// Attributes of addresses and routes (linux/if_addr.h, linux/rtnetlink.h).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;

/// Sets up the network namespace of the calling thread.
///
/// # Errors
/// What the kernel refuses.
pub fn set_up() -> io::Result<()> {
    let socket = netlink::open(0, true)?;
    let told = |what: &str, request: Request| {
        netlink::ask(&socket, &request, |_| ())
            .map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
    };
    told("loopback", loopback_up())?;
    told("own address", own_address())?;
    told("IPv4 route", all_local(libc::AF_INET, libc::RT_TABLE_LOCAL, Some(&RESOLVER.octets())))?;
    if fs::exists("/proc/sys/net/ipv6")? {
        told("IPv6 route", all_local(libc::AF_INET6, libc::RT_TABLE_MAIN, None))?;
    }
    for switch in ["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"] {
        // A kernel without IPv6 has no such switch, nor an answer.
        match fs::write(format!("/proc/sys/net/{switch}"), "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// `struct ifinfomsg`: family, padding, type, index, flags, change.
fn loopback_up() -> Request {
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    let fixed = [&[0; 4][..], &LOOPBACK.to_ne_bytes(), &up, &up].concat();
    Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &fixed)
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index.
fn own_address() -> Request {
    let mut fixed = vec![libc::AF_INET as u8, 32, 0, 0];
    fixed.extend_from_slice(&LOOPBACK.to_ne_bytes());
    Request::new(libc::RTM_NEWADDR, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &fixed)
        .attribute(IFA_LOCAL, &RESOLVER.octets())
        .attribute(IFA_ADDRESS, &RESOLVER.octets())
}

/// `struct rtmsg`: family, destination and source lengths, tos, table, protocol, scope, type, flags.
fn all_local(family: i32, table: u8, source: Option<&[u8]>) -> Request {
    let scope = libc::RT_SCOPE_HOST;
    let mut fixed = vec![family as u8, 0, 0, 0, table, libc::RTPROT_BOOT, scope, libc::RTN_LOCAL];
    fixed.extend_from_slice(&[0; 4]);
    let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let request = Request::new(libc::RTM_NEWROUTE, flags, &fixed).attribute(RTA_OIF, &LOOPBACK.to_ne_bytes());
    match source {
        Some(source) => request.attribute(RTA_PREFSRC, source),
        None => request,
    }
}
