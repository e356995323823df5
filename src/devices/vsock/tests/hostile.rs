//! Guests that break the rules, flood, or fall silent. The device refuses, stays small, and serves the others.

use std::time::Duration;

use super::{
    super::packet::{HEADER_LEN, MAX_PAYLOAD, shutdown},
    *,
};

/// Whether a guest that dials this port gets a stream.
fn answers(bench: &mut Bench, port: u32) -> bool {
    bench.send(40_000, port, op::REQUEST, &[]);
    let ops = bench.fetch_ops();
    bench.send(40_000, port, op::RST, &[]);
    match ops[..] {
        [op::RESPONSE] => true,
        [op::RST] => false,
        _ => panic!("{ops:?}"),
    }
}

#[test]
fn a09_only_listed_host_ports_answer() {
    let mut bench = Bench::new(small());
    let open: Vec<u32> = (0..=u32::from(u16::MAX)).filter(|&port| answers(&mut bench, port)).collect();
    assert_eq!(open, [SERVICE]);
    for port in [super::super::routes::FIRST_HOST_PORT, u32::MAX, SERVICE | 1 << 16, SERVICE | 1 << 31] {
        assert!(!answers(&mut bench, port), "{port}");
    }
}

/// The break for the test above: the same scan finds a port that is listed.
#[test]
fn a09_the_scan_finds_a_port_that_is_listed() {
    let (_receiver, theirs) = handoff::pair().unwrap();
    let (_dialler, dials) = handoff::pair().unwrap();
    let routes = Routes { host_ports: vec![(9, theirs)], diallers: vec![dials] };
    let core = Core::new(CID, routes, small()).unwrap();
    let mut bench = Bench { core, receiver: _receiver, dialler: _dialler };
    assert!(answers(&mut bench, 9));
    assert!(!answers(&mut bench, SERVICE));
}

/// a13: another machine's context id leads nowhere, and the answer comes at once.
#[test]
fn a13_other_context_ids_are_refused_or_ignored() {
    let mut bench = Bench::new(small());
    for cid in [0, 1, CID, 4, u64::MAX, HOST_CID | 1 << 32] {
        bench.send_raw(Header { op: op::REQUEST, dst_cid: cid, ..packet(1000, SERVICE) }, &[]);
        let answer = bench.fetch();
        assert_eq!((answer[0].0.op, answer[0].0.src_cid), (op::RST, cid));
        bench.send_raw(Header { op: op::REQUEST, src_cid: CID + 1 + cid % 7, ..packet(1000, SERVICE) }, &[]);
        assert_eq!(bench.fetch(), [], "a sender that is not the guest gets no answer");
    }
    assert!(handoff_is_empty(&bench));
    bench.connect(1000);
}

fn handoff_is_empty(bench: &Bench) -> bool {
    rustix::io::ioctl_fionbio(&bench.receiver, true).unwrap();
    let empty = handoff::receive(&bench.receiver).is_err();
    rustix::io::ioctl_fionbio(&bench.receiver, false).unwrap();
    empty
}

/// What a guest that sends `beyond` bytes more than its window gets.
fn overrun(beyond: usize) -> Vec<u16> {
    let mut bench = Bench::new(small());
    let _host = bench.connect(1000);
    // Fill the socket as well, so that the window is all that is left.
    while bench.backlog() == 0 {
        bench.send(1000, SERVICE, op::RW, &[0; 1000]);
    }
    bench.fetch();
    let mut left = 300_000 - bench.backlog() + beyond;
    while left > 0 {
        let len = left.min(MAX_PAYLOAD);
        bench.send(1000, SERVICE, op::RW, &vec![0; len]);
        left -= len;
    }
    bench.fetch_ops()
}

#[test]
fn a_guest_that_sends_beyond_its_window_is_reset() {
    assert_eq!(overrun(1), [op::RST]);
}

/// The break for the test above: one byte less is no offence.
#[test]
fn a_guest_that_fills_its_window_is_not_reset() {
    assert_eq!(overrun(0), NOTHING);
}

#[test]
fn many_connections_get_small_windows_and_more_are_refused() {
    let mut bench = Bench::new(small());
    let mut windows = Vec::new();
    for port in 0..8 {
        bench.send(port, SERVICE, op::REQUEST, &[]);
        let (header, _) = bench.fetch_one().unwrap();
        assert_eq!(header.op, op::RESPONSE);
        windows.push(header.buf_alloc);
    }
    assert_eq!(windows, [300_000, 300_000, 4096, 4096, 4096, 4096, 4096, 4096]);
    bench.send(8, SERVICE, op::REQUEST, &[]);
    assert_eq!(bench.fetch_ops(), [op::RST]);
    bench.send(0, SERVICE, op::RST, &[]);
    bench.send(8, SERVICE, op::REQUEST, &[]);
    assert_eq!(
        bench.fetch_one().unwrap().0.buf_alloc,
        300_000,
        "a large window that came back is given again"
    );
}

#[test]
fn dials_of_the_host_beyond_the_limit_close_their_stream() {
    let mut bench = Bench::new(small());
    let _hosts: Vec<_> = (0..8).map(|port| bench.connect(port)).collect();
    let (mut near, far) = UnixStream::pair().unwrap();
    handoff::send(&bench.dialler, 50, far).unwrap();
    bench.turn();
    bench.settle();
    assert!(is_closed(&mut near));
}

#[test]
fn a_guest_that_fetches_nothing_is_not_listened_to() {
    let mut bench = Bench::new(small());
    let mut taken = 0;
    while bench.core.may_take_tx() {
        bench.send(taken, 9999, op::REQUEST, &[]);
        taken += 1;
        assert!(taken <= 256);
    }
    bench.fetch_one().unwrap();
    assert!(bench.core.may_take_tx());
}

#[test]
fn bytes_for_a_guest_that_fetches_nothing_stay_with_their_writer() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    let first = stuff(&mut host);
    bench.turn();
    assert_eq!(stuff(&mut host), 0, "the device has taken some though the guest has not");
    let got: usize = bench.fetch().iter().map(|(_, data)| data.len()).sum();
    assert_eq!(got, first);
}

#[test]
fn every_packet_that_fits_no_state_is_answered_with_a_reset() {
    let wrong = [
        (op::RESPONSE, 0, 0),
        (op::REQUEST, 0, 0),
        (0, 0, 0),
        (8, 0, 0),
        (u16::MAX, 0, 0),
        // A payload that is not there.
        (op::RW, 10, 0),
        (op::CREDIT_UPDATE, 10, 0),
        (op::RW, u32::MAX, 0),
    ];
    for (op, len, flags) in wrong {
        let mut bench = Bench::new(small());
        let mut host = bench.connect(1000);
        bench.send_raw(Header { op, len, flags, ..packet(1000, SERVICE) }, &[]);
        assert_eq!(bench.fetch_ops(), [op::RST], "operation {op} length {len}");
        assert!(is_closed(&mut host));
        // And where there is no connection.
        bench.send_raw(Header { op, len, flags, ..packet(1001, 77) }, &[]);
        assert_eq!(bench.fetch_ops(), [op::RST], "operation {op} length {len}");
    }
}

#[test]
fn an_rst_is_never_answered() {
    let mut bench = Bench::new(small());
    bench.send(1, 9999, op::RST, &[]);
    bench.send(1, SERVICE, op::RST, &[]);
    assert_eq!(bench.fetch_ops(), NOTHING);
}

#[test]
fn other_socket_types_are_refused_in_their_own_type() {
    let mut bench = Bench::new(small());
    for kind in [0, 2, 3, u16::MAX] {
        bench.send_raw(Header { op: op::REQUEST, kind, ..packet(1000, SERVICE) }, &[]);
        let answer = bench.fetch();
        assert_eq!((answer[0].0.op, answer[0].0.kind), (op::RST, kind));
    }
    assert!(handoff_is_empty(&bench));
}

#[test]
fn a_guest_that_sends_after_it_said_the_last_is_reset() {
    let mut bench = Bench::new(small());
    let _host = bench.connect(1000);
    bench.send_raw(Header { op: op::SHUTDOWN, flags: shutdown::SEND, ..packet(1000, SERVICE) }, &[]);
    bench.send(1000, SERVICE, op::RW, b"more");
    assert_eq!(bench.fetch_ops(), [op::RST]);
}

#[test]
fn a_guest_that_sends_before_it_is_connected_is_reset() {
    let mut bench = Bench::new(small());
    let (mut near, host_port) = bench.dial(50);
    bench.send(50, host_port, op::RW, b"early");
    assert_eq!(bench.fetch_ops(), [op::RST]);
    assert!(is_closed(&mut near));
}

#[test]
fn a_guest_that_never_agrees_to_a_close_is_cut_off_in_time() {
    let mut bench = Bench::new(Limits { close: Duration::from_millis(1), ..small() });
    drop(bench.connect(1000));
    // The deadline starts with the end of the stream, which the guest's fetching finds.
    while !bench.core.table.tokens().is_empty() {
        bench.turn();
        bench.fetch();
    }
    bench.send(1000, SERVICE, op::RW, b"?");
    assert_eq!(bench.fetch_ops().last(), Some(&op::RST));
}

#[test]
fn a_receiver_that_takes_nothing_makes_the_guest_wait_and_time_ends_it() {
    let limits = Limits { connections: 4096, connect: Duration::from_millis(50), ..small() };
    let mut bench = Bench::new(limits);
    let mut dialled = 0;
    let mut granted = 0;
    // The kernel holds a few hundred messages; then requests wait instead of being granted.
    while granted == dialled {
        bench.send(dialled, SERVICE, op::REQUEST, &[]);
        dialled += 1;
        granted += bench.fetch_ops().iter().filter(|&&op| op == op::RESPONSE).count() as u32;
        assert!(dialled < 4096);
    }
    // As the receiver takes one, the one that waits is served.
    let mut kept = Vec::new();
    while granted < dialled {
        kept.push(handoff::receive(&bench.receiver).unwrap().unwrap());
        bench.settle();
        granted += bench.fetch_ops().iter().filter(|&&op| op == op::RESPONSE).count() as u32;
    }
    // The next ones that wait are given up in time.
    while bench.fetch_ops().contains(&op::RESPONSE) || granted == dialled {
        bench.send(dialled, SERVICE, op::REQUEST, &[]);
        dialled += 1;
        granted += bench.fetch_ops().iter().filter(|&&op| op == op::RESPONSE).count() as u32;
    }
    let mut ops = Vec::new();
    while !ops.contains(&op::RST) {
        bench.turn();
        ops = bench.fetch_ops();
    }
}

#[test]
fn a_receiver_that_is_gone_makes_its_port_refuse() {
    let mut bench = Bench::new(small());
    let host = bench.connect(1000);
    bench.receiver = bench.dialler.try_clone().unwrap();
    bench.send(1001, SERVICE, op::REQUEST, &[]);
    assert_eq!(bench.fetch_ops(), [op::RST]);
    assert_eq!(bench.core.table.tokens().len(), 1, "the stream that was handed over before goes on");
    drop(host);
}

#[test]
fn a_guest_that_gives_up_before_the_hand_over_leaves_nothing() {
    let mut bench = Bench::new(Limits { connections: 4096, ..small() });
    let mut dialled = 0;
    loop {
        bench.send(dialled, SERVICE, op::REQUEST, &[]);
        if bench.fetch_ops().is_empty() {
            break;
        }
        dialled += 1;
    }
    bench.send(dialled, SERVICE, op::RST, &[]);
    for _ in 0..dialled {
        drop(handoff::receive(&bench.receiver).unwrap().unwrap());
    }
    bench.settle();
    bench.send(9999, SERVICE, op::REQUEST, &[]);
    assert!(bench.fetch_ops().contains(&op::RESPONSE));
    assert_eq!(handoff::receive(&bench.receiver).unwrap().unwrap().port, SERVICE);
}

#[test]
fn a_reset_closes_every_stream() {
    let mut bench = Bench::new(small());
    let mut hosts: Vec<_> = (0..5).map(|port| bench.connect(port)).collect();
    bench.send(100, 9999, op::REQUEST, &[]);
    bench.core.reset();
    assert!(hosts.iter_mut().all(is_closed));
    assert!(!bench.core.has_rx());
    bench.connect(0);
}

#[test]
fn packets_shorter_than_a_header_are_ignored() {
    let mut bench = Bench::new(small());
    for len in 0..HEADER_LEN {
        bench.core.handle_tx_packet(&vec![0xff; len]);
    }
    assert!(!bench.core.has_rx());
}
