//! The guest's network in a network namespace of its own, with the host played by unix sockets.
//!
//! Each test runs on a thread that has left the machine's namespace. That, and BPF, take root: as another user the
//! tests say that they are skipped; as root they fail where it is impossible.

use std::{
    future::Future,
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::thread::{UnshareFlags, unshare_unsafe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::timeout,
};

use super::{Network, dns_message::tests::query, netlink, netlink::Request};
use crate::{
    stream::Host,
    wire::{StreamHeader, StreamKind, port, stream::HEADER_LENGTH},
};

const HANG: Duration = Duration::from_secs(20);

/// Runs `test` in a fresh namespace with the network up and the host's side of it.
fn in_guest<F: Future<Output = ()>>(limit: usize, test: impl FnOnce(Egress) -> F + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces and BPF need root");
        return;
    }
    let body = move || {
        leave_namespace();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let network = Network::set_up().expect("the network of a fresh namespace");
            let egress = Egress::open();
            let host = Host::Folder(egress.folder.clone());
            let serving = tokio::spawn(network.run(host, limit));
            timeout(HANG, test(egress)).await.expect("a hang");
            assert!(!serving.is_finished(), "the network's service has ended");
        });
    };
    std::thread::spawn(body).join().unwrap();
}

#[expect(
    unsafe_code,
    reason = "only this thread leaves the namespace, and it has no descriptor that another needs"
)]
fn leave_namespace() {
    // SAFETY: a network namespace is a property of the thread; nothing shared is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("root can make a network namespace");
}

/// The host's end.
struct Egress {
    folder: PathBuf,
    listener: UnixListener,
}

impl Egress {
    fn open() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("cofferdam-net-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(port::HOST_EGRESS.to_string());
        let _ = std::fs::remove_file(&path);
        Self { listener: UnixListener::bind(path).unwrap(), folder }
    }

    async fn accept(&self) -> (StreamHeader, UnixStream) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut header = [0; HEADER_LENGTH];
        stream.read_exact(&mut header).await.unwrap();
        (StreamHeader::decode(header).unwrap(), stream)
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect(address.parse::<SocketAddr>().unwrap()).await
}

#[test]
fn a04_every_tcp_connection_becomes_a_stream_that_names_its_destination() {
    in_guest(16, |egress| async move {
        for (address, kind) in [
            ("203.0.113.5:443", StreamKind::Tcp),
            ("8.8.8.8:22", StreamKind::Tcp),
            ("169.254.169.254:80", StreamKind::Tcp),
            ("198.18.0.1:3128", StreamKind::Proxy),
            ("192.0.2.1:53", StreamKind::Dns),
            ("[2001:db8::1]:443", StreamKind::Tcp),
            ("[::ffff:203.0.113.7]:443", StreamKind::Tcp),
        ] {
            let mut program = connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
            let (header, mut host) = egress.accept().await;
            let expected = address.replace("[::ffff:203.0.113.7]", "203.0.113.7").parse().unwrap();
            assert_eq!(header, StreamHeader { kind, destination: expected });
            program.write_all(b"question").await.unwrap();
            program.shutdown().await.unwrap();
            let mut heard = Vec::new();
            host.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"question");
            // The other direction still works after the half-close.
            host.write_all(b"answer").await.unwrap();
            drop(host);
            let mut answer = Vec::new();
            program.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"answer", "{address}");
        }
    });
}

#[test]
fn loopback_is_the_guests_own() {
    in_guest(16, |egress| async move {
        for address in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0"] {
            let server = TcpListener::bind(address).await.unwrap();
            let (client, accepted) =
                tokio::join!(TcpStream::connect(server.local_addr().unwrap()), server.accept());
            assert!(client.is_ok() && accepted.is_ok(), "{address}");
        }
        // A server on all addresses is reached on loopback, and not on a stranger's address.
        let server = TcpListener::bind("0.0.0.0:8080").await.unwrap();
        let (client, _) = tokio::join!(connect("127.0.0.1:8080"), server.accept());
        client.unwrap();
        let _stranger = connect("203.0.113.5:8080").await.unwrap();
        assert_eq!(egress.accept().await.0.destination, "203.0.113.5:8080".parse().unwrap());
        // Nobody listens here: refused, not relayed.
        assert_eq!(connect("127.0.0.1:9").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

/// The break beside the relay: without the program, nothing answers for a foreign address.
#[test]
fn a04_without_the_network_service_connections_are_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces and BPF need root");
        return;
    }
    let body = || {
        leave_namespace();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let network = Network::set_up().unwrap();
            connect("203.0.113.5:443").await.expect("the program is attached");
            drop(network);
            let error = connect("203.0.113.5:443").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    };
    std::thread::spawn(body).join().unwrap();
}

#[test]
fn a05_udp_other_than_dns_is_refused_at_once() {
    in_guest(16, |_egress| async move {
        for address in ["203.0.113.5:443", "8.8.8.8:123", "[2001:db8::1]:443"] {
            let address: SocketAddr = address.parse().unwrap();
            let any: SocketAddr = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(HANG)).unwrap();
            let refused = socket.connect(address).and_then(|()| {
                socket.send(b"x")?;
                socket.recv(&mut [0; 16])
            });
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address}");
        }
    });
}

#[test]
fn an_error_on_either_side_is_a_reset_and_no_orderly_end() {
    in_guest(16, |egress| async move {
        // The host is gone: the program sees a reset.
        let path = egress.folder.join(port::HOST_EGRESS.to_string());
        std::fs::rename(&path, egress.folder.join("away")).unwrap();
        let mut program = connect("203.0.113.5:443").await.unwrap();
        let error = program.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        std::fs::rename(egress.folder.join("away"), &path).unwrap();
        // The program resets: the host's stream ends.
        let program = connect("203.0.113.5:443").await.unwrap();
        let (_, mut host) = egress.accept().await;
        program.set_zero_linger().unwrap();
        drop(program);
        assert_eq!(host.read(&mut [0; 8]).await.unwrap_or(0), 0);
    });
}

#[test]
fn connections_beyond_the_limit_are_reset_and_the_rest_lives() {
    in_guest(2, |egress| async move {
        let mut first = connect("203.0.113.5:1").await.unwrap();
        let (_, mut host) = egress.accept().await;
        let second = connect("203.0.113.5:2").await.unwrap();
        let _second_host = egress.accept().await;
        let mut third = connect("203.0.113.5:3").await.unwrap();
        assert_eq!(third.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        first.write_all(b"x").await.unwrap();
        assert_eq!(host.read_u8().await.unwrap(), b'x');
        drop(second);
    });
}

#[test]
fn large_bodies_cross_unchanged_both_ways_at_once() {
    in_guest(16, |egress| async move {
        let body: Vec<u8> =
            (0..8_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let program = connect("203.0.113.5:443").await.unwrap();
        let (_, host) = egress.accept().await;
        let (mut program_in, mut program_out) = program.into_split();
        let (mut host_in, mut host_out) = host.into_split();
        let (mut at_host, mut at_program) = (Vec::new(), Vec::new());
        let sent = async {
            tokio::join!(
                async {
                    program_out.write_all(&body).await.unwrap();
                    program_out.shutdown().await.unwrap();
                },
                async {
                    host_out.write_all(&body).await.unwrap();
                    host_out.shutdown().await.unwrap();
                }
            )
        };
        let (_, first, second) =
            tokio::join!(sent, host_in.read_to_end(&mut at_host), program_in.read_to_end(&mut at_program));
        first.unwrap();
        second.unwrap();
        assert!(at_host == body && at_program == body);
    });
}

async fn read_question(host: &mut UnixStream) -> Vec<u8> {
    let length = host.read_u16().await.unwrap();
    let mut question = vec![0; length.into()];
    host.read_exact(&mut question).await.unwrap();
    question
}

fn answer_to(question: &[u8], mark: u8) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer.push(mark);
    [&(answer.len() as u16).to_be_bytes()[..], &answer].concat()
}

async fn asker(address: &str) -> tokio::net::UdpSocket {
    let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = tokio::net::UdpSocket::bind(any).await.unwrap();
    // A connected socket takes answers from that address only, as resolvers do.
    socket.connect(address).await.unwrap();
    socket
}

#[test]
fn questions_to_any_address_share_one_stream_and_answers_return_from_there() {
    in_guest(16, |egress| async move {
        let addresses = ["198.18.0.1:53", "8.8.8.8:53", "127.0.0.53:53", "[2001:4860::8888]:53", "[::1]:53"];
        let mut askers = Vec::new();
        for address in addresses {
            let socket = asker(address).await;
            // All with one id: the forwarder must keep them apart.
            socket.send(&query(7, "a.example")).await.unwrap();
            askers.push(socket);
        }
        let (header, mut host) = egress.accept().await;
        assert_eq!(header.kind, StreamKind::Dns);
        let mut questions = Vec::new();
        for _ in addresses {
            questions.push(read_question(&mut host).await);
        }
        // Backwards, in pieces: order and boundaries mean nothing.
        let mut answers: Vec<u8> =
            questions.iter().rev().flat_map(|question| answer_to(question, question[1])).collect();
        let rest = answers.split_off(5);
        host.write_all(&answers).await.unwrap();
        tokio::task::yield_now().await;
        host.write_all(&rest).await.unwrap();
        for (socket, question) in askers.iter().zip(&questions) {
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!((buffer[..2].to_vec(), buffer[length - 1]), (vec![0, 7], question[1]));
        }
    });
}

#[test]
fn b12_only_questions_are_forwarded_and_forged_answers_are_dropped() {
    in_guest(16, |egress| async move {
        let socket = asker("198.18.0.1:53").await;
        socket.send(b"tunnel through port 53, please").await.unwrap();
        socket.send(&[0xff; 2000]).await.unwrap();
        socket.send(&query(1, "good.example")).await.unwrap();
        let (_, mut host) = egress.accept().await;
        let question = read_question(&mut host).await;
        assert_eq!(question[12..], query(1, "good.example")[12..]);
        let mut forged = answer_to(&question, 1);
        forged[3] ^= 0xff;
        host.write_all(&forged).await.unwrap();
        host.write_all(&answer_to(&question, 2)).await.unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await.unwrap();
        assert_eq!(buffer[length - 1], 2);
    });
}

#[test]
fn a_question_survives_a_host_that_restarts() {
    in_guest(16, |egress| async move {
        let socket = asker("198.18.0.1:53").await;
        socket.send(&query(3, "a.example")).await.unwrap();
        let (_, mut host) = egress.accept().await;
        let first = read_question(&mut host).await;
        drop(host);
        let (_, mut host) = egress.accept().await;
        let second = read_question(&mut host).await;
        assert_eq!(first, second);
        host.write_all(&answer_to(&second, 9)).await.unwrap();
        let mut buffer = [0; 512];
        assert!(socket.recv(&mut buffer).await.unwrap() > 12);
    });
}

#[test]
fn a_silent_host_is_a_server_failure_after_a_while() {
    in_guest(16, |egress| async move {
        let socket = asker("198.18.0.1:53").await;
        socket.send(&query(3, "a.example")).await.unwrap();
        let _host = egress.accept().await;
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await.unwrap();
        assert_eq!((buffer[3] & 0x0f, length), (2, query(3, "a.example").len()));
    });
}

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
            leave_namespace();
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
