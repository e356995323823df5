//! Datagrams with the address that they were sent *to* (`IP_PKTINFO`, `IPV6_RECVPKTINFO`), so that an answer can
//! leave from there: resolvers discard answers from any other address.

use std::{
    ffi::c_int,
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd},
};

use super::check;

/// Room for one control message of either family, aligned as cmsghdr demands.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Asks the kernel to deliver the destination with each datagram, and to allow answers from addresses that are
/// local only by a route.
///
/// # Errors
/// When the socket is not of this family, or the caller lacks CAP_NET_ADMIN.
pub fn want_destination(socket: impl AsFd, v6: bool) -> io::Result<()> {
    let options = if v6 {
        [(libc::SOL_IPV6, libc::IPV6_RECVPKTINFO), (libc::SOL_IPV6, libc::IPV6_TRANSPARENT)]
    } else {
        [(libc::SOL_IP, libc::IP_PKTINFO), (libc::SOL_IP, libc::IP_TRANSPARENT)]
    };
    let on: c_int = 1;
    for (level, name) in options {
        // SAFETY: `on` is live and its size is passed.
        check(unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                level,
                name,
                (&raw const on).cast(),
                mem::size_of::<c_int>() as libc::socklen_t,
            )
        })?;
    }
    Ok(())
}

/// One datagram: its length, who sent it, and the address it was sent to.
///
/// # Errors
/// `WouldBlock` when none waits; `InvalidData` when it does not fit into `buffer` or has no destination.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, IpAddr)> {
    // SAFETY: both are plain old data for which all zeroes is a valid value.
    let (mut peer, mut message): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut control = Control([0; 64]);
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    message.msg_name = (&raw mut peer).cast();
    message.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = control.0.len();
    // SAFETY: every pointer in `message` is to a live local of the length that is set beside it.
    let length = check(unsafe {
        libc::recvmsg(
            socket.as_fd().as_raw_fd(),
            &raw mut message,
            libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC,
        )
    })?;
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(invalid("datagram too long"));
    }
    let peer = peer_address(&peer).ok_or_else(|| invalid("sender of another family"))?;
    let local = destination(&message).ok_or_else(|| invalid("no destination address"))?;
    Ok((length as usize, peer, local))
}

fn peer_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel says this is a sockaddr_in, and sockaddr_storage is large and aligned enough.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn destination(message: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: `message` was filled by recvmsg; the CMSG functions stay inside its control buffer, and
    // read_unaligned needs no alignment. The payload's size is checked before it is read.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null() {
            return None;
        }
        let payload = (*header).cmsg_len.checked_sub(libc::CMSG_LEN(0) as usize)?;
        match ((*header).cmsg_level, (*header).cmsg_type) {
            (libc::SOL_IP, libc::IP_PKTINFO) if payload >= mem::size_of::<libc::in_pktinfo>() => {
                let info = libc::CMSG_DATA(header).cast::<libc::in_pktinfo>().read_unaligned();
                Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) if payload >= mem::size_of::<libc::in6_pktinfo>() => {
                let info = libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().read_unaligned();
                Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

/// Sends one datagram to `peer` from the address `local`.
///
/// # Errors
/// `WouldBlock` when the socket's buffer is full, or what sendmsg(2) says.
pub fn send_from(socket: impl AsFd, data: &[u8], peer: SocketAddr, local: IpAddr) -> io::Result<()> {
    // SAFETY: both are plain old data for which all zeroes is a valid value.
    let (mut storage, mut message): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut control = Control([0; 64]);
    let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    message.msg_name = (&raw mut storage).cast();
    message.msg_namelen = write_address(&mut storage, peer);
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = control.0.len();
    // SAFETY: the control buffer has room for one header and either payload (64 bytes; the larger needs 40),
    // and is aligned for the header; the kernel only reads `data`.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        match local {
            IpAddr::V4(ip) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(ip).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                put(&mut message, header, libc::SOL_IP, libc::IP_PKTINFO, info);
            }
            IpAddr::V6(ip) => {
                let address = libc::in6_addr { s6_addr: ip.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 };
                put(&mut message, header, libc::SOL_IPV6, libc::IPV6_PKTINFO, info);
            }
        }
        check(libc::sendmsg(
            socket.as_fd().as_raw_fd(),
            &raw const message,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        ))
        .map(drop)
    }
}

/// # Safety
/// `header` must be the first header of `message`'s control buffer, which must have room for `T` behind it.
unsafe fn put<T>(
    message: &mut libc::msghdr,
    header: *mut libc::cmsghdr,
    level: c_int,
    kind: c_int,
    payload: T,
) {
    let size = mem::size_of::<T>() as u32;
    // SAFETY: by the contract above.
    unsafe {
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(payload);
        message.msg_controllen = libc::CMSG_SPACE(size) as usize;
    }
}

fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_storage is large and aligned enough for a sockaddr_in, and all zeroes is valid.
            let out = unsafe { &mut *(&raw mut *storage).cast::<libc::sockaddr_in>() };
            out.sin_family = libc::AF_INET as libc::sa_family_t;
            out.sin_port = v4.port().to_be();
            out.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above, for sockaddr_in6.
            let out = unsafe { &mut *(&raw mut *storage).cast::<libc::sockaddr_in6>() };
            out.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            out.sin6_port = v6.port().to_be();
            out.sin6_addr.s6_addr = v6.ip().octets();
            out.sin6_scope_id = v6.scope_id();
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}
