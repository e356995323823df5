//! TCP: what is relayed, what is the guest's own, and what happens when something fails. UDP: refused.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{HANG, can_run, connect, in_guest};
use crate::{
    net::Network,
    sys::leave_network_namespace,
    wire::{StreamHeader, StreamKind, port},
};

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
    if !can_run() {
        return;
    }
    let body = || {
        leave_network_namespace();
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
