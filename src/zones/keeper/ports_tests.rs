use std::os::fd::OwnedFd;

use tokio::task::LocalSet;

use super::*;
use crate::{
    model::rule::{Layer, Origin},
    sys::handoff,
    wire::ports::REQUEST_LENGTH,
};

fn port(guest: u16, host: u16, fixed: bool) -> Port {
    let origin = Origin { layer: Layer::Repository, file: Some("sandbox.yaml".into()), line: Some(7) };
    Port { guest, host: Some(host), fixed, origin }
}

/// A port of the loopback that is taken for as long as the listener lives.
fn taken() -> (StdListener, u16) {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A guest whose every port answers with this byte, and then echoes.
async fn guest(vsock: OwnedFd, answer: u8) {
    let vsock = crate::sys::readiness::watch(vsock).unwrap();
    loop {
        let mut ready = vsock.readable().await.unwrap();
        let Ok(received) = ready.try_io(handoff::receive) else { continue };
        let Ok(Some(dialled)) = received else { return };
        assert_eq!(dialled.port, port::GUEST_PORTS);
        dialled.stream.set_nonblocking(true).unwrap();
        let mut stream = UnixStream::from_std(dialled.stream).unwrap();
        tokio::task::spawn_local(async move {
            let mut request = [0; REQUEST_LENGTH];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(PortRequest::decode(request).port, 3000);
            stream.write_all(&[answer]).await.unwrap();
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
}

/// Runs `story` with a link to such a guest.
fn with_guest<F: Future<Output = ()>>(answer: u8, story: impl FnOnce(GuestLink) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (ours, theirs) = handoff::pair().unwrap();
        let (said, _heard) = tokio::sync::mpsc::unbounded_channel();
        let link = GuestLink::new(ours, said).unwrap();
        tokio::task::spawn_local(guest(theirs, answer));
        story(link).await;
    });
}

#[test]
fn a_wish_that_is_taken_gets_the_next_free_port() {
    let (_listener, wish) = taken();
    let ports = Ports::bind(&[port(3000, wish, false)]).unwrap();
    let [published] = &ports.list()[..] else { panic!("one port") };
    assert_ne!(published.host, wish);
    assert_eq!((published.guest, published.address.as_str()), (3000, "127.0.0.1"));
}

#[test]
fn a_fixed_port_that_is_taken_is_an_error_that_names_it_and_nothing_is_published() {
    let (_listener, wish) = taken();
    let free = taken().1;
    let error = Ports::bind(&[port(1, free, true), port(3000, wish, true)]).map(drop).unwrap_err();
    let words = error.to_string();
    assert!(words.contains(&format!("port {wish} ")) && words.contains("sandbox.yaml:7"), "{words}");
    // The break: without `fixed` it starts.
    assert!(Ports::bind(&[port(1, free, true), port(3000, wish, false)]).is_ok());
}

#[test]
fn a_port_without_a_wish_is_tried_under_the_guests_number_first() {
    let free = taken().1;
    let wish = Port { host: None, ..port(free, 0, false) };
    assert_eq!(Ports::bind(&[wish]).unwrap().list()[0].host, free);
}

#[test]
fn connections_cross_and_those_before_the_guest_answers_wait() {
    with_guest(CONNECTED, |link| async move {
        let ports = Ports::bind(&[port(3000, taken().1, false)]).unwrap();
        let host = ports.list()[0].host;
        let mut early = TcpStream::connect((Ipv4Addr::LOCALHOST, host)).await.unwrap();
        ports.serve(&link);
        early.write_all(b"hello").await.unwrap();
        early.shutdown().await.unwrap();
        let mut heard = String::new();
        early.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
    });
}

#[test]
fn where_no_server_is_the_client_sees_a_reset_and_no_orderly_end() {
    with_guest(REFUSED, |link| async move {
        let ports = Ports::bind(&[port(3000, taken().1, false)]).unwrap();
        ports.serve(&link);
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, ports.list()[0].host)).await.unwrap();
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_change_closes_what_is_not_wanted_and_leaves_the_rest_alone() {
    with_guest(CONNECTED, |link| async move {
        let (kept, gone) = (port(3000, taken().1, false), port(3000, taken().1, false));
        let ports = Ports::bind(&[kept.clone(), gone.clone()]).unwrap();
        ports.serve(&link);
        let mut clients = Vec::new();
        for wish in [&kept, &gone] {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, wish.host.unwrap())).await.unwrap();
            client.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
            clients.push(client);
        }
        let new = port(3000, taken().1, true);
        ports.change(&[kept.clone(), new.clone()]).unwrap();
        assert!(clients[1].read_u8().await.is_err(), "its connection is closed");
        clients[0].write_all(b"y").await.unwrap();
        assert_eq!(clients[0].read_u8().await.unwrap(), b'y');
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, gone.host.unwrap())).await.is_err());
        let mut fresh = TcpStream::connect((Ipv4Addr::LOCALHOST, new.host.unwrap())).await.unwrap();
        fresh.write_all(b"z").await.unwrap();
        assert_eq!(fresh.read_u8().await.unwrap(), b'z');
    });
}
