//! Packets through rings in memory, cut as a driver may cut them, and rings that make no sense.

use std::io::{Read, Write};

use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::{
    super::{
        device::Device,
        packet::{HEADER_LEN, MAX_PAYLOAD},
    },
    driver::{Driver, INDIRECT, NEXT, RING_BYTES, SIZE, WRITE},
    *,
};

const RX: u64 = 0x1000;
const TX: u64 = RX + RING_BYTES;
const DATA: u64 = 0x10000;
const END: u64 = 0x20_0000;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), END as usize)]).unwrap()
}

/// A device with both rings over one memory.
struct Machine<'a> {
    memory: &'a GuestMemoryMmap,
    device: Device,
    rx: (Driver<'a>, Queue),
    tx: (Driver<'a>, Queue),
    receiver: OwnedFd,
    _dialler: OwnedFd,
}

impl<'a> Machine<'a> {
    fn new(memory: &'a GuestMemoryMmap) -> Self {
        let Bench { core, receiver, dialler } = Bench::new(small());
        let (rx, tx) = (Driver::new(memory, RX), Driver::new(memory, TX));
        let (rx_queue, tx_queue) = (rx.queue(), tx.queue());
        let device = Device::new(core);
        Self { memory, device, rx: (rx, rx_queue), tx: (tx, tx_queue), receiver, _dialler: dialler }
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    fn get(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    /// Sends a packet in pieces of these lengths.
    fn send(&mut self, op: u16, data: &[u8], pieces: &[usize]) {
        let header = Header { op, len: data.len() as u32, ..packet(1000, SERVICE) };
        let bytes = [&header.encode()[..], data].concat();
        assert_eq!(pieces.iter().sum::<usize>(), bytes.len());
        let mut at = 0;
        let mut buffers = Vec::new();
        for &len in pieces {
            // A gap between the pieces, so that reading on would be noticed.
            let address = DATA + at as u64 + buffers.len() as u64 * 100;
            self.put(address, &bytes[at..at + len]);
            buffers.push((address, len as u32, 0));
            at += len;
        }
        self.tx.0.offer_buffers(&buffers);
        assert!(self.serve_tx());
        assert_eq!(self.tx.0.used().len(), 1);
    }

    fn serve_tx(&mut self) -> bool {
        self.device.serve_tx(&mut self.tx.1, self.memory).unwrap().notify
    }

    fn serve_rx(&mut self) -> bool {
        self.device.serve_rx(&mut self.rx.1, self.memory).unwrap().notify
    }

    fn connect(&mut self) -> UnixStream {
        self.send(op::REQUEST, &[], &[HEADER_LEN]);
        let stream = handoff::receive(&self.receiver).unwrap().unwrap().stream;
        self.device.core().process_events().unwrap();
        self.rx.0.offer_buffers(&[(DATA, 100, WRITE)]);
        assert!(self.serve_rx());
        assert_eq!(self.rx.0.used()[0].1, HEADER_LEN as u32);
        let header = Header::decode(&self.get(DATA, HEADER_LEN).try_into().unwrap());
        assert_eq!(header.op, op::RESPONSE);
        stream
    }
}

#[test]
fn a_packet_may_be_cut_anywhere() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    let mut host = machine.connect();
    let data: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
    for pieces in [&[1044][..], &[44, 1000], &[20, 24, 1000], &[43, 1001], &[44, 500, 400, 100], &[1; 12]] {
        let mut pieces = pieces.to_vec();
        let sum: usize = pieces.iter().sum();
        if sum < 1044 {
            pieces.push(1044 - sum);
        }
        machine.send(op::RW, &data, &pieces);
        let mut got = vec![0; 1000];
        host.read_exact(&mut got).unwrap();
        assert_eq!(got, data, "{pieces:?}");
    }
}

#[test]
fn a_packet_for_the_guest_fills_whatever_buffers_there_are() {
    let memory = memory();
    for pieces in [&[4096][..], &[44, 4052], &[10, 40, 4000], &[4000, 96], &[45]] {
        let mut machine = Machine::new(&memory);
        let mut host = machine.connect();
        host.write_all(&[7; 4000]).unwrap();
        machine.device.core().process_events().unwrap();
        let mut at = DATA;
        let mut buffers = Vec::new();
        for &len in pieces {
            machine.put(at, &vec![0; len + 8]);
            buffers.push((at, len as u32, WRITE));
            at += len as u64 + 8;
        }
        let head = machine.rx.0.offer_buffers(&buffers);
        assert!(machine.serve_rx());
        let room: usize = pieces.iter().sum();
        let expected = room.min(HEADER_LEN + 4000);
        assert_eq!(machine.rx.0.used(), [(u32::from(head), expected as u32)], "{pieces:?}");
        let mut got = Vec::new();
        for &(address, len, _) in &buffers {
            got.extend(machine.get(address, len as usize));
            assert_eq!(
                machine.get(address + u64::from(len), 8),
                [0; 8],
                "nothing is written beyond a buffer"
            );
        }
        let header = Header::decode(&got[..HEADER_LEN].try_into().unwrap());
        assert_eq!((header.op, header.len as usize), (op::RW, expected - HEADER_LEN));
        assert!(got[HEADER_LEN..expected].iter().all(|&byte| byte == 7));
    }
}

#[test]
fn large_buffers_take_large_packets() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    let mut host = machine.connect();
    let written = stuff(&mut host);
    assert!(written > MAX_PAYLOAD);
    machine.device.core().process_events().unwrap();
    machine.rx.0.offer_buffers(&[(DATA, 0x10_0000, WRITE)]);
    machine.serve_rx();
    assert_eq!(machine.rx.0.used()[0].1 as usize, HEADER_LEN + MAX_PAYLOAD);
}

#[test]
fn a_buffer_stays_with_the_driver_until_there_is_a_packet() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    let mut host = machine.connect();
    let head = machine.rx.0.offer_buffers(&[(DATA, 4096, WRITE)]);
    assert!(!machine.serve_rx());
    // An event that turns out to be nothing takes no buffer either.
    host.write_all(b"x").unwrap();
    machine.device.core().process_events().unwrap();
    machine.serve_rx();
    assert_eq!(machine.rx.0.used(), [(u32::from(head), 45)]);
    assert!(machine.device.core().has_rx(), "only the next try shows that there is no more");
    let head = machine.rx.0.offer_buffers(&[(DATA, 4096, WRITE)]);
    assert!(!machine.serve_rx());
    assert_eq!(machine.rx.0.used(), []);
    host.write_all(b"yz").unwrap();
    machine.device.core().process_events().unwrap();
    machine.serve_rx();
    assert_eq!(machine.rx.0.used(), [(u32::from(head), 46)]);
}

#[test]
fn chains_that_make_no_sense_are_given_back_and_the_device_goes_on() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    let mut host = machine.connect();
    let bad: [&[(u64, u32, u16)]; 9] = [
        &[(END, 100, 0)],
        &[(END - 10, 100, 0)],
        &[(u64::MAX - 10, 100, 0)],
        &[(DATA, u32::MAX, 0)],
        &[(DATA, 0, 0)],
        &[(DATA, 100, WRITE)],
        &[(DATA, 44, 0), (END, 100, 0)],
        &[(DATA, u32::MAX, 0), (DATA, u32::MAX, 0)],
        &[(DATA, 160, INDIRECT)],
    ];
    machine.put(DATA, &vec![0xff; 4096]);
    for chain in bad {
        let head = machine.tx.0.offer_buffers(chain);
        machine.serve_tx();
        assert_eq!(machine.tx.0.used(), [(u32::from(head), 0)], "{chain:?}");
    }
    assert!(!machine.serve_rx());
    machine.send(op::RW, b"alive", &[49]);
    host.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn buffers_that_make_no_sense_lose_no_packet() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    let mut host = machine.connect();
    host.write_all(b"kept").unwrap();
    machine.device.core().process_events().unwrap();
    let bad: [&[(u64, u32, u16)]; 7] = [
        &[(END, 100, WRITE)],
        &[(END - 10, 100, WRITE)],
        &[(u64::MAX - 10, 100, WRITE)],
        &[(DATA, 44, WRITE)],
        &[(DATA, 4096, 0)],
        &[(DATA, 44, WRITE), (END, 100, WRITE)],
        &[(DATA, 0, WRITE)],
    ];
    for chain in bad {
        let head = machine.rx.0.offer_buffers(chain);
        machine.serve_rx();
        assert_eq!(machine.rx.0.used(), [(u32::from(head), 0)], "{chain:?}");
    }
    machine.rx.0.offer_buffers(&[(DATA, 100, WRITE)]);
    machine.serve_rx();
    assert_eq!(machine.rx.0.used()[0].1, 48);
    assert_eq!(machine.get(DATA + 44, 4), b"kept");
}

#[test]
fn chains_that_loop_end() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    machine.put(DATA, &[0xff; 64]);
    // A descriptor that follows itself, two that follow each other, and an indirect table that does.
    machine.tx.0.descriptor(0, DATA, 1, NEXT, 0);
    machine.tx.0.descriptor(1, DATA, 1, NEXT, 2);
    machine.tx.0.descriptor(2, DATA, 1, NEXT, 1);
    machine.tx.0.descriptor(3, DATA + 0x1000, 16 * 0xffff, INDIRECT, 0);
    machine.tx.0.write_descriptor(DATA + 0x1000, 0, DATA, 1, NEXT, 0);
    machine.tx.0.descriptor(4, DATA + 0x2000, 16, INDIRECT, 0);
    machine.tx.0.write_descriptor(DATA + 0x2000, 0, DATA + 0x2000, 16, INDIRECT, 0);
    for head in [0, 1, 3, 4] {
        machine.tx.0.offer(head);
        machine.serve_tx();
        assert_eq!(machine.tx.0.used(), [(u32::from(head), 0)]);
    }
    machine.connect();
}

#[test]
fn a_ring_whose_indices_make_no_sense_is_an_error() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    machine.tx.0.offer(SIZE);
    assert!(machine.device.serve_tx(&mut machine.tx.1, &memory).is_err(), "a head outside the table");
    let mut machine = Machine::new(&memory);
    machine.tx.0.avail = SIZE * 2;
    machine.tx.0.offer(0);
    assert!(machine.device.serve_tx(&mut machine.tx.1, &memory).is_err(), "more chains than entries");
}

#[test]
fn a_flood_stalls_until_the_guest_fetches_its_answers() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    machine.put(DATA, &Header { op: op::REQUEST, ..packet(1, 9999) }.encode());
    let mut taken = 0;
    let stalled = loop {
        machine.tx.0.offer_buffers(&[(DATA, HEADER_LEN as u32, 0)]);
        let turn = machine.device.serve_tx(&mut machine.tx.1, &memory).unwrap();
        if turn.stalled {
            break turn;
        }
        taken += machine.tx.0.used().len();
        assert!(taken < 1000);
    };
    assert!(!stalled.more, "a stall must not spin");
    assert_eq!(taken + machine.tx.0.used().len(), 256);
    machine.rx.0.offer_buffers(&[(DATA + 0x1000, 100, WRITE)]);
    assert!(machine.serve_rx());
    machine.tx.0.offer_buffers(&[(DATA, HEADER_LEN as u32, 0)]);
    assert!(machine.device.serve_tx(&mut machine.tx.1, &memory).unwrap().notify);
}

#[test]
fn a_notification_is_sent_once_for_many_buffers_where_the_driver_asks_for_that() {
    let memory = memory();
    let mut machine = Machine::new(&memory);
    machine.tx.1.set_event_idx(true);
    machine.put(DATA, &Header { op: op::RST, ..packet(1, 9999) }.encode());
    // `used_event` lies behind the available ring: wake me after the fifth.
    machine.put(machine.tx.0.addresses()[1] + 4 + u64::from(SIZE) * 2, &4u16.to_le_bytes());
    let mut notified = Vec::new();
    for _ in 0..8 {
        machine.tx.0.offer_buffers(&[(DATA, HEADER_LEN as u32, 0)]);
        notified.push(machine.serve_tx());
    }
    assert_eq!(notified, [false, false, false, false, true, false, false, false]);
}
