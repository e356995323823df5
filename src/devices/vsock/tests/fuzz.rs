//! Arbitrary packets, fetches and host actions in any order: nothing panics, and the bounds hold.

use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Packet(Header, usize),
    Fetch(u8),
    HostWrites(u8, u16),
    HostReads(u8),
    HostCloses(u8),
    HostDials(u8),
}

fn header() -> impl Strategy<Value = (Header, usize)> {
    let host_port = prop_oneof![4 => Just(SERVICE), 1 => Just(9u32), 2 => (1u32 << 30)..(1 << 30) + 6];
    let ops = prop_oneof![6 => 1u16..=7, 3 => Just(op::RW), 1 => any::<u16>()];
    let buf_alloc = prop_oneof![Just(0u32), 0..3000u32, any::<u32>()];
    (0..6u32, host_port, ops, 0..4u32, buf_alloc, any::<u32>(), 0..6000usize, any::<bool>()).prop_map(
        |(guest_port, host_port, op, flags, buf_alloc, fwd_cnt, len, honest)| {
            let claimed = if honest { len as u32 } else { fwd_cnt };
            let header =
                Header { op, flags, buf_alloc, fwd_cnt, len: claimed, ..packet(guest_port, host_port) };
            (header, len)
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => header().prop_map(|(header, len)| Step::Packet(header, len)),
        3 => any::<u8>().prop_map(Step::Fetch),
        2 => (any::<u8>(), any::<u16>()).prop_map(|(which, len)| Step::HostWrites(which, len)),
        2 => any::<u8>().prop_map(Step::HostReads),
        1 => any::<u8>().prop_map(Step::HostCloses),
        1 => (0..6u8).prop_map(Step::HostDials),
    ]
}

fn apply(bench: &mut Bench, hosts: &mut Vec<UnixStream>, step: Step) {
    match step {
        Step::Packet(header, len) if bench.core.may_take_tx() => bench.send_raw(header, &vec![0; len]),
        Step::Packet(..) => {}
        Step::Fetch(count) => drop((0..count).map_while(|_| bench.fetch_one()).count()),
        Step::HostDials(port) => {
            let (near, far) = UnixStream::pair().unwrap();
            handoff::send(&bench.dialler, port.into(), far).unwrap();
            near.set_nonblocking(true).unwrap();
            hosts.push(near);
        }
        Step::HostCloses(which) if !hosts.is_empty() => {
            drop(hosts.swap_remove(usize::from(which) % hosts.len()));
        }
        Step::HostWrites(which, len) if !hosts.is_empty() => {
            let which = usize::from(which) % hosts.len();
            let _ = hosts[which].write(&vec![1; len.into()]);
        }
        Step::HostReads(which) if !hosts.is_empty() => {
            let which = usize::from(which) % hosts.len();
            let _ = hosts[which].read(&mut [0; 5000]);
        }
        Step::HostCloses(_) | Step::HostWrites(..) | Step::HostReads(_) => {}
    }
    rustix::io::ioctl_fionbio(&bench.receiver, true).unwrap();
    while let Ok(Some(handed)) = handoff::receive(&bench.receiver) {
        handed.stream.set_nonblocking(true).unwrap();
        hosts.push(handed.stream);
    }
    bench.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_of_events_is_survived_within_bounds(steps in proptest::collection::vec(step(), 1..120)) {
        let limits = Limits { large_window: 8192, ..small() };
        let mut bench = Bench::new(limits);
        let mut hosts = Vec::new();
        for step in steps {
            apply(&mut bench, &mut hosts, step);
            let tokens = bench.core.table.tokens();
            prop_assert!(tokens.len() <= 8);
            let mut held = Vec::new();
            for token in tokens {
                held.push(bench.core.table.get(token).unwrap().backlog_len());
            }
            prop_assert!(held.iter().all(|&len| len <= 8192), "{held:?}");
            prop_assert!(held.iter().filter(|&&len| len > 4096).count() <= 2, "{held:?}");
        }
        // Whatever happened, all can be brought to an end, and then nothing is left.
        bench.core.reset();
        prop_assert!(bench.core.table.tokens().is_empty());
        prop_assert!(!bench.core.has_rx());
        bench.connect(100);
    }
}
