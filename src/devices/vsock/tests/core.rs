//! Streams between a guest and a host that keep the rules.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::Duration,
};

use super::{super::packet::shutdown, *};

#[test]
fn bytes_go_both_ways() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    bench.send(1000, SERVICE, op::RW, b"ping");
    let mut got = [0; 4];
    host.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"ping");
    host.write_all(b"pong").unwrap();
    bench.turn();
    let packets = bench.fetch();
    assert_eq!(packets[0].1, b"pong");
    assert_eq!((packets[0].0.op, packets[0].0.fwd_cnt), (op::RW, 4));
    assert_eq!((packets[0].0.src_port, packets[0].0.dst_port, packets[0].0.dst_cid), (SERVICE, 1000, CID));
}

#[test]
fn the_guest_gets_what_its_credit_allows_and_is_asked_once_for_more() {
    let mut bench = Bench::new(small());
    bench.send_raw(Header { op: op::REQUEST, buf_alloc: 100, ..packet(1000, SERVICE) }, &[]);
    let mut host = handoff::receive(&bench.receiver).unwrap().unwrap().stream;
    host.write_all(&[9; 250]).unwrap();
    bench.turn();
    let packets = bench.fetch();
    assert_eq!(
        packets.iter().map(|(header, _)| header.op).collect::<Vec<_>>(),
        [op::RESPONSE, op::RW, op::CREDIT_REQUEST]
    );
    assert_eq!(packets[1].1.len(), 100);
    assert_eq!(bench.fetch_ops(), NOTHING);
    let update = Header { op: op::CREDIT_UPDATE, buf_alloc: 100, fwd_cnt: 60, ..packet(1000, SERVICE) };
    bench.send_raw(update, &[]);
    let packets = bench.fetch();
    assert_eq!((packets[0].1.len(), packets[1].0.op), (60, op::CREDIT_REQUEST));
}

#[test]
fn credit_is_given_back_as_the_host_reads() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    for _ in 0..3 {
        bench.send(1000, SERVICE, op::RW, &[1; 50_000]);
    }
    assert_eq!(bench.fetch_ops(), [op::CREDIT_UPDATE], "half of the window has left our hands");
    for _ in 0..6 {
        bench.send(1000, SERVICE, op::RW, &[1; 50_000]);
    }
    // The socket is full now; what it takes later is told later.
    bench.fetch();
    let mut got = vec![0; 450_000];
    for chunk in got.chunks_mut(50_000) {
        host.read_exact(chunk).unwrap();
        bench.settle();
    }
    assert!(got.iter().all(|&byte| byte == 1));
    let last = bench.fetch().pop().unwrap().0;
    assert_eq!(last.op, op::CREDIT_UPDATE);
    assert!(450_000 - last.fwd_cnt < 150_000);
}

#[test]
fn bytes_stay_in_order_when_the_socket_has_room_again() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    let mut chunks = (0..=u8::MAX).map(|number| vec![number; 10_000]);
    let mut sent = Vec::new();
    while bench.backlog() == 0 {
        let chunk = chunks.next().unwrap();
        bench.send(1000, SERVICE, op::RW, &chunk);
        sent.extend(chunk);
    }
    // The socket has room, but the core has not heard of it.
    let mut got = vec![0; 100_000];
    host.read_exact(&mut got).unwrap();
    let chunk = chunks.next().unwrap();
    bench.send(1000, SERVICE, op::RW, &chunk);
    sent.extend(chunk);
    while got.len() < sent.len() {
        bench.settle();
        let mut part = vec![0; 5000];
        let len = host.read(&mut part).unwrap();
        got.extend(&part[..len]);
    }
    assert!(got == sent);
}

#[test]
fn a_request_for_credit_is_answered() {
    let mut bench = Bench::new(small());
    let _host = bench.connect(1000);
    bench.send(1000, SERVICE, op::CREDIT_REQUEST, &[]);
    assert_eq!(bench.fetch_ops(), [op::CREDIT_UPDATE]);
}

/// One half of a close.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Half {
    Guest,
    Host,
}

/// Either side may end first; what the other still sends arrives, and nothing is left in the end.
#[test]
fn each_side_may_end_first_and_the_other_still_sends() {
    for order in [[Half::Guest, Half::Host], [Half::Host, Half::Guest]] {
        let mut bench = Bench::new(small());
        let mut host = bench.connect(1000);
        for half in order {
            match half {
                Half::Guest => {
                    bench.send(1000, SERVICE, op::RW, b"from guest");
                    let flags = shutdown::SEND;
                    bench.send_raw(Header { op: op::SHUTDOWN, flags, ..packet(1000, SERVICE) }, &[]);
                    let mut got = String::new();
                    host.read_to_string(&mut got).unwrap();
                    assert_eq!(got, "from guest", "{order:?}");
                }
                Half::Host => {
                    host.write_all(b"from host").unwrap();
                    host.shutdown(Shutdown::Write).unwrap();
                    bench.turn();
                    let packets = bench.fetch();
                    assert_eq!(packets[0].1, b"from host", "{order:?}");
                    assert_eq!(packets[1].0.op, op::SHUTDOWN, "{order:?}");
                    assert!(packets[1].0.flags & shutdown::SEND != 0, "{order:?}");
                }
            }
        }
        drop(host);
        bench.settle();
        bench.fetch();
        bench.send_raw(Header { op: op::SHUTDOWN, flags: shutdown::BOTH, ..packet(1000, SERVICE) }, &[]);
        assert_eq!(bench.fetch_ops(), [op::RST], "{order:?}");
        assert!(bench.core.table.tokens().is_empty(), "{order:?}");
    }
}

#[test]
fn a_host_that_closes_is_told_to_the_guest_in_one_shutdown() {
    let mut bench = Bench::new(small());
    let host = bench.connect(1000);
    drop(host);
    bench.turn();
    let packets = bench.fetch();
    assert_eq!(packets.len(), 1);
    assert_eq!((packets[0].0.op, packets[0].0.flags), (op::SHUTDOWN, shutdown::BOTH));
    bench.send(1000, SERVICE, op::RW, b"in flight, and dropped");
    bench.send(1000, SERVICE, op::RST, &[]);
    assert_eq!(bench.fetch_ops(), NOTHING);
    assert!(bench.core.table.tokens().is_empty());
}

#[test]
fn what_the_host_wrote_before_it_closed_arrives() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    host.write_all(&[5; 10_000]).unwrap();
    drop(host);
    bench.turn();
    let packets = bench.fetch();
    assert_eq!(packets.iter().map(|(_, data)| data.len()).sum::<usize>(), 10_000);
    let last = packets.last().unwrap().0;
    assert_eq!((last.op, last.flags), (op::SHUTDOWN, shutdown::BOTH));
}

#[test]
fn what_the_guest_sent_before_it_closed_arrives_though_the_host_is_slow() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    let sent: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    for chunk in sent.chunks(60_000) {
        bench.send(1000, SERVICE, op::RW, chunk);
    }
    bench.send_raw(Header { op: op::SHUTDOWN, flags: shutdown::BOTH, ..packet(1000, SERVICE) }, &[]);
    assert_eq!(bench.fetch_ops().last(), Some(&op::RST), "the guest need not wait");
    bench.send(1000, SERVICE, op::REQUEST, &[]);
    assert_eq!(bench.fetch_ops(), [op::RESPONSE], "and its port is free again");
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        host.read_to_end(&mut got).unwrap();
        got
    });
    while bench.core.table.tokens().len() > 1 {
        bench.turn();
    }
    assert_eq!(reader.join().unwrap(), sent);
}

#[test]
fn a_guest_that_reads_no_more_stops_the_writer() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    bench.send_raw(Header { op: op::SHUTDOWN, flags: shutdown::RECEIVE, ..packet(1000, SERVICE) }, &[]);
    assert_eq!(host.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    bench.send(1000, SERVICE, op::RW, b"still here");
    let mut got = [0; 10];
    host.read_exact(&mut got).unwrap();
}

#[test]
fn the_host_dials_and_the_guest_accepts() {
    let mut bench = Bench::new(small());
    let (mut near, host_port) = bench.dial(50);
    bench.send(50, host_port, op::RESPONSE, &[]);
    near.write_all(b"hello").unwrap();
    bench.turn();
    assert_eq!(bench.fetch()[0].1, b"hello");
    bench.send(50, host_port, op::RW, b"world");
    let mut got = [0; 5];
    near.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"world");
}

#[test]
fn what_was_written_before_the_guest_accepted_arrives() {
    let mut bench = Bench::new(small());
    let (mut near, host_port) = bench.dial(50);
    near.write_all(b"early").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    bench.send(50, host_port, op::RESPONSE, &[]);
    bench.turn();
    let packets = bench.fetch();
    assert_eq!((packets[0].1.as_slice(), packets[1].0.op), (&b"early"[..], op::SHUTDOWN));
}

#[test]
fn a_dial_that_the_guest_refuses_closes_its_stream() {
    let mut bench = Bench::new(small());
    let (mut near, host_port) = bench.dial(51);
    bench.send(51, host_port, op::RST, &[]);
    assert!(is_closed(&mut near));
}

#[test]
fn a_dial_without_an_answer_ends_in_time_and_the_guest_is_told() {
    let mut bench = Bench::new(Limits { connect: Duration::from_millis(1), ..small() });
    let (mut near, host_port) = bench.dial(51);
    while !bench.core.table.tokens().is_empty() {
        bench.turn();
    }
    assert!(is_closed(&mut near));
    assert_eq!(bench.fetch_ops(), [op::RST]);
    bench.send(51, host_port, op::RESPONSE, &[]);
    assert_eq!(bench.fetch_ops(), [op::RST], "an answer that comes too late is refused");
}

#[test]
fn dials_to_one_port_have_host_ports_of_their_own() {
    let mut bench = Bench::new(small());
    bench.core.next_port = u32::MAX - 1;
    let ports: Vec<u32> = (0..4).map(|_| bench.dial(50).1).collect();
    let mut distinct = ports.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "{ports:?}");
    assert!(!ports.contains(&u32::MAX), "that one means any port");
}

#[test]
fn a_dialler_that_leaves_is_forgotten_and_streams_go_on() {
    let mut bench = Bench::new(small());
    let mut host = bench.connect(1000);
    bench.dialler = bench.receiver.try_clone().unwrap();
    bench.turn();
    assert!(bench.core.diallers[0].is_none());
    bench.settle();
    bench.send(1000, SERVICE, op::RW, b"on");
    host.read_exact(&mut [0; 2]).unwrap();
}
