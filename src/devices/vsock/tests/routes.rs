//! What a guest that scans the host's ports finds.

use std::os::fd::OwnedFd;

use super::{Bench, CID, op, small};
use crate::{
    devices::vsock::{Core, Limits, Routes},
    sys::handoff,
    wire::port,
};

/// A bench whose device routes these ports, and their receivers.
fn bench(ports: &[u32]) -> (Bench, Vec<OwnedFd>) {
    let mut bench = Bench::new(small());
    let (receivers, host_ports) = ports
        .iter()
        .map(|port| {
            let (receiver, theirs) = handoff::pair().unwrap();
            (receiver, (*port, theirs))
        })
        .unzip();
    let routes = Routes { host_ports, diallers: Vec::new() };
    bench.core = Core::new(CID, routes, Limits::default()).unwrap();
    (bench, receivers)
}

/// The ports that answer: every low one, those of known services, and the edges.
fn scan(bench: &mut Bench) -> Vec<u32> {
    let edges = [1 << 16, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 1 << 31, u32::MAX - 1, u32::MAX];
    let mut open = Vec::new();
    for (guest_port, host_port) in (5000..).zip((0..4096).chain([5432, 6379, 8080, 9000, 11434]).chain(edges))
    {
        bench.send(guest_port, host_port, op::REQUEST, &[]);
        match bench.fetch_ops().as_slice() {
            [op::RESPONSE] => open.push(host_port),
            [op::RST] => {}
            other => panic!("port {host_port}: {other:?}"),
        }
        bench.send(guest_port, host_port, op::RST, &[]);
        bench.settle();
        bench.fetch();
    }
    open
}

#[test]
fn e15_the_guest_finds_control_and_egress_and_nothing_else() {
    let ours = [port::HOST_CONTROL, port::HOST_EGRESS];
    let (mut device, _receivers) = bench(&ours);
    assert_eq!(scan(&mut device), ours);
    // The break: a composition root that routes one socket more.
    let agent_socket = 9;
    let (mut device, _receivers) = bench(&[ours[0], ours[1], agent_socket]);
    assert_eq!(scan(&mut device), [ours[0], ours[1], agent_socket]);
}
