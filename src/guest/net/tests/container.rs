//! Interfaces of the guest's own: a container engine's bridge, and a container behind it.

use std::{
    io::{self, ErrorKind},
    net::UdpSocket,
};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{
    HANG, connect,
    dns::{answer_to, read_question},
    in_guest,
};
use crate::{
    net::{
        dns_message::tests::query,
        netlink::{self, Request},
    },
    sys::leave_network_namespace,
    wire::StreamKind,
};

/// A bridge of a container engine: its prefix is the guest's own as soon as it has an address, and no longer.
#[test]
fn an_interface_of_the_guest_keeps_its_network() {
    in_guest(16, |egress| async move {
        let socket = netlink::open(0, true).unwrap();
        let tell = |request: Request| netlink::ask(&socket, &request, |_| ());
        add_dummy(&tell).expect("a dummy or bridge interface");
        let server = TcpListener::bind("0.0.0.0:8080").await.unwrap();
        tell(address(libc::RTM_NEWADDR)).unwrap();
        // The change reaches the program through the relay's own loop.
        loop {
            let _client = connect("172.17.0.1:8080").await.unwrap();
            tokio::select! {
                accepted = server.accept() => { accepted.unwrap(); break }
                (header, _) = egress.accept() => assert_eq!(header.destination, "172.17.0.1:8080".parse().unwrap()),
            }
        }
        // Only that network: beside it, everything is still the host's to judge.
        let _other = connect("172.18.0.1:8080").await.unwrap();
        assert_eq!(egress.accept().await.0.destination, "172.18.0.1:8080".parse().unwrap());
        tell(address(libc::RTM_DELADDR)).unwrap();
        loop {
            let _client = connect("172.17.0.1:8080").await.unwrap();
            tokio::select! {
                accepted = server.accept() => { accepted.unwrap(); }
                (header, _) = egress.accept() => {
                    assert_eq!(header.destination, "172.17.0.1:8080".parse().unwrap());
                    break;
                }
            }
        }
    });
}

const DUMMY: u32 = 77;

/// Adds an interface with a fixed index, and brings it up.
fn add_dummy(tell: &impl Fn(Request) -> io::Result<()>) -> io::Result<()> {
    let link = |up: u32| {
        let up = up.to_ne_bytes();
        [&[0; 4][..], &DUMMY.to_ne_bytes(), &up, &up].concat()
    };
    let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    const IFLA_LINKINFO: u16 = 18;
    let mut result = Ok(());
    for kind in [&b"dummy"[..], b"bridge", b"veth"] {
        let padded = [&(kind.len() as u16 + 4).to_ne_bytes()[..], &1u16.to_ne_bytes(), kind].concat();
        let request = Request::new(libc::RTM_NEWLINK, flags, &link(0)).attribute(IFLA_LINKINFO, &padded);
        result = tell(request);
        if result.is_ok() {
            break;
        }
    }
    result?;
    tell(Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(libc::IFF_UP as u32)))
}

fn address(kind: u16) -> Request {
    address_of(kind, [172, 17, 0, 1])
}

fn address_of(kind: u16, address: [u8; 4]) -> Request {
    let mut fixed = vec![libc::AF_INET as u8, 16, 0, 0];
    fixed.extend_from_slice(&DUMMY.to_ne_bytes());
    Request::new(kind, libc::NLM_F_ACK | libc::NLM_F_CREATE, &fixed)
        .attribute(2, &address)
        .attribute(1, &address)
}

/// A container: another network namespace behind a bridge of the guest. Its packets end in the same place.
#[test]
fn a04_a_containers_connections_and_questions_take_the_same_way() {
    in_guest(16, |egress| async move {
        let (namespace, known) = std::sync::mpsc::channel();
        let (wired, go) = std::sync::mpsc::channel::<()>();
        let container = std::thread::spawn(move || {
            leave_network_namespace();
            namespace.send(std::fs::File::open("/proc/thread-self/ns/net").unwrap()).unwrap();
            go.recv().unwrap();
            inside_container()
        });
        wire_container(&known.recv().unwrap()).expect("a veth pair");
        wired.send(()).unwrap();
        let (header, mut host) = egress.accept().await;
        assert_eq!(header.destination, "203.0.113.5:443".parse().unwrap());
        host.write_all(b"hello").await.unwrap();
        drop(host);
        let (header, mut host) = egress.accept().await;
        assert_eq!(header.kind, StreamKind::Dns);
        let question = read_question(&mut host).await;
        host.write_all(&answer_to(&question, 5)).await.unwrap();
        let refused = tokio::task::spawn_blocking(|| container.join().unwrap()).await.unwrap();
        assert_eq!(refused, ErrorKind::ConnectionRefused);
    });
}

/// What the container's program does; the error of its last act.
fn inside_container() -> ErrorKind {
    use std::io::Read;
    let socket = netlink::open(0, true).unwrap();
    let tell = |request: Request| netlink::ask(&socket, &request, |_| ()).unwrap();
    let up = [&[0; 4][..], &DUMMY.to_ne_bytes(), &1u32.to_ne_bytes(), &1u32.to_ne_bytes()].concat();
    tell(Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &up));
    tell(address_of(libc::RTM_NEWADDR, [172, 17, 0, 2]));
    let fixed = [2, 0, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
    const RTA_GATEWAY: u16 = 5;
    let create = libc::NLM_F_ACK | libc::NLM_F_CREATE;
    tell(Request::new(libc::RTM_NEWROUTE, create, &fixed).attribute(RTA_GATEWAY, &[172, 17, 0, 1]));
    let mut heard = String::new();
    std::net::TcpStream::connect("203.0.113.5:443").unwrap().read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    udp.set_read_timeout(Some(HANG)).unwrap();
    udp.connect("8.8.8.8:53").unwrap();
    udp.send(&query(9, "a.example")).unwrap();
    assert!(udp.recv(&mut [0; 512]).unwrap() > 12);
    udp.connect("8.8.8.8:443").unwrap();
    udp.send(b"x").unwrap();
    udp.recv(&mut [0; 16]).unwrap_err().kind()
}

/// A veth pair: one end here, with the bridge's address, the other in `namespace`.
fn wire_container(namespace: &std::fs::File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_NET_NS_FD: u16 = 28;
    let nested = |kind: u16, value: &[u8]| {
        let mut bytes = [&(value.len() as u16 + 4).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let link = |up: u32| [&[0; 4][..], &DUMMY.to_ne_bytes(), &up.to_ne_bytes(), &up.to_ne_bytes()].concat();
    // IFLA_INFO_KIND = 1, IFLA_INFO_DATA = 2, VETH_INFO_PEER = 1
    let there = nested(IFLA_NET_NS_FD, &(namespace.as_raw_fd() as u32).to_ne_bytes());
    let peer = nested(1, &[link(0), there].concat());
    let info = [nested(1, b"veth"), nested(2, &peer)].concat();
    let socket = netlink::open(0, true)?;
    let tell = |request: Request| netlink::ask(&socket, &request, |_| ());
    let create = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    tell(Request::new(libc::RTM_NEWLINK, create, &link(0)).attribute(IFLA_LINKINFO, &info))?;
    tell(Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(libc::IFF_UP as u32)))?;
    tell(address(libc::RTM_NEWADDR))
}
