//! The whole device behind its socket, with a front end in the place of QEMU.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::fd::AsRawFd,
    os::unix::net::UnixListener,
    thread::JoinHandle,
};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use vhost::{
    VhostBackend, VhostUserMemoryRegionInfo, VringConfigData,
    vhost_user::{
        Frontend, VhostUserFrontend,
        message::{VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures},
    },
};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

use super::{
    super::{ServeError, packet::HEADER_LEN, serve},
    driver::{Driver, RING_BYTES, SIZE, WRITE},
    *,
};

const MEMORY: u64 = 0x20_0000;
/// Where the front end claims to have the memory mapped.
const USER: u64 = 0x7f00_0000_0000;
const RX: u64 = 0x1000;
const TX: u64 = RX + RING_BYTES;
const DATA: u64 = 0x10000;

/// A machine whose memory the device maps.
struct Machine {
    front: Frontend,
    memory: GuestMemoryMmap,
    file: File,
    kicks: Vec<EventFd>,
    calls: Vec<EventFd>,
    receiver: OwnedFd,
    device: Option<JoinHandle<Result<(), ServeError>>>,
}

/// Forbids the thread what the jail of the zone forbids, and to start threads.
fn jail() {
    let forbidden = [libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_clone, libc::SYS_clone3];
    let rules: BTreeMap<i64, _> = forbidden.into_iter().map(|call| (call, Vec::new())).collect();
    let deny = SeccompAction::Errno(libc::EPERM as u32);
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vsock");
        let listener = UnixListener::bind(&path).unwrap();
        // As in the product: the machine's end is connected before the device exists.
        let socket = UnixStream::connect(&path).unwrap();
        let (receiver, theirs) = handoff::pair().unwrap();
        let diallers = vec![theirs.try_clone().unwrap()];
        let routes = Routes { host_ports: vec![(SERVICE, theirs)], diallers };
        let device = std::thread::spawn(move || {
            jail();
            assert!(UnixStream::connect("/nowhere").unwrap_err().raw_os_error() == Some(libc::EPERM));
            serve(listener, CID, routes)
        });
        let file = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
        ftruncate(&file, MEMORY).unwrap();
        let range = (GuestAddress(0), MEMORY as usize, Some(FileOffset::new(file.try_clone().unwrap(), 0)));
        let memory = GuestMemoryMmap::from_ranges_with_files([range]).unwrap();
        let event = || EventFd::new(0).unwrap();
        let front = Frontend::from_stream(socket, 3);
        let (kicks, calls) = (vec![event(), event()], vec![event(), event()]);
        Self { front, memory, file, kicks, calls, receiver, device: Some(device) }
    }

    fn negotiate(&mut self) {
        self.front.set_owner().unwrap();
        let features = self.front.get_features().unwrap();
        // Without event indices, so that the tests are woken for each packet.
        self.front.set_features(features & !(1 << 29)).unwrap();
        let offered = self.front.get_protocol_features().unwrap();
        self.front.set_protocol_features(offered).unwrap();
        assert!(offered.contains(VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK));
        self.front.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: 0,
            memory_size: MEMORY,
            userspace_addr: USER,
            mmap_offset: 0,
            mmap_handle: self.file.as_raw_fd(),
        };
        self.front.set_mem_table(&[region]).unwrap();
    }

    fn start_ring(&mut self, index: usize, ring: &Driver<'_>, base: u16) {
        self.front.set_vring_num(index, SIZE).unwrap();
        self.front.set_vring_base(index, base).unwrap();
        self.front.set_vring_addr(index, &description(ring)).unwrap();
        self.front.set_vring_kick(index, &self.kicks[index]).unwrap();
        self.front.set_vring_call(index, &self.calls[index]).unwrap();
        self.front.set_vring_enable(index, true).unwrap();
    }

    /// Sends one packet and waits until it was taken.
    fn send(&self, tx: &mut Driver<'_>, op: u16, data: &[u8]) {
        let header = Header { op, len: data.len() as u32, ..packet(1000, SERVICE) };
        let bytes = [&header.encode()[..], data].concat();
        self.memory.write_slice(&bytes, GuestAddress(DATA)).unwrap();
        tx.offer_buffers(&[(DATA, bytes.len() as u32, 0)]);
        self.kicks[1].write(1).unwrap();
        self.calls[1].read().unwrap();
        assert_eq!(tx.used().len(), 1);
    }

    /// Waits for one packet.
    fn receive(&self, rx: &mut Driver<'_>) -> (Header, Vec<u8>) {
        let address = DATA + 0x1000;
        rx.offer_buffers(&[(address, 4096, WRITE)]);
        self.kicks[0].write(1).unwrap();
        self.calls[0].read().unwrap();
        let used = rx.used();
        assert_eq!(used.len(), 1);
        let mut bytes = vec![0; used[0].1 as usize];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        let data = bytes.split_off(HEADER_LEN);
        (Header::decode(&bytes.try_into().unwrap()), data)
    }

    fn end(mut self) -> Result<(), ServeError> {
        let device = self.device.take().unwrap();
        drop(self);
        device.join().unwrap()
    }
}

fn description(ring: &Driver<'_>) -> VringConfigData {
    let [descriptors, avail, used] = ring.addresses().map(|address| USER + address);
    VringConfigData {
        queue_max_size: SIZE,
        queue_size: SIZE,
        flags: 0,
        desc_table_addr: descriptors,
        used_ring_addr: used,
        avail_ring_addr: avail,
        log_addr: None,
    }
}

#[test]
fn a_machine_dials_and_talks_to_a_jailed_device() {
    let mut machine = Machine::new();
    machine.negotiate();
    let config = machine.front.get_config(0, 8, VhostUserConfigFlags::empty(), &[0; 8]).unwrap().1;
    assert_eq!(config, CID.to_le_bytes());
    let memory = machine.memory.clone();
    let (mut rx, mut tx) = (Driver::new(&memory, RX), Driver::new(&memory, TX));
    machine.start_ring(0, &rx, 0);
    machine.start_ring(1, &tx, 0);
    machine.send(&mut tx, op::REQUEST, &[]);
    let mut host = handoff::receive(&machine.receiver).unwrap().unwrap().stream;
    assert_eq!(machine.receive(&mut rx).0.op, op::RESPONSE);
    machine.send(&mut tx, op::RW, b"ping");
    let mut got = [0; 4];
    host.read_exact(&mut got).unwrap();
    host.write_all(b"pong").unwrap();
    let (header, data) = machine.receive(&mut rx);
    assert_eq!((header.op, header.fwd_cnt, data.as_slice()), (op::RW, 4, &b"pong"[..]));
    machine.end().unwrap();
    assert!(is_closed(&mut host), "a machine that has ended leaves no stream");
}

#[test]
fn a_pause_keeps_the_streams_and_a_new_driver_ends_them() {
    let mut machine = Machine::new();
    machine.negotiate();
    let memory = machine.memory.clone();
    let (mut rx, mut tx) = (Driver::new(&memory, RX), Driver::new(&memory, TX));
    machine.start_ring(0, &rx, 0);
    machine.start_ring(1, &tx, 0);
    machine.send(&mut tx, op::REQUEST, &[]);
    let mut host = handoff::receive(&machine.receiver).unwrap().unwrap().stream;
    assert_eq!(machine.receive(&mut rx).0.op, op::RESPONSE);

    let bases = [0, 1].map(|ring| machine.front.get_vring_base(ring).unwrap());
    assert_eq!(bases, [1, 1]);
    host.write_all(b"while it sleeps").unwrap();
    machine.start_ring(0, &rx, 1);
    machine.start_ring(1, &tx, 1);
    assert_eq!(machine.receive(&mut rx).1, b"while it sleeps");

    for ring in [0, 1] {
        machine.front.get_vring_base(ring).unwrap();
    }
    memory.write_slice(&[0; 2 * RING_BYTES as usize], GuestAddress(RX)).unwrap();
    let (rx, mut tx) = (Driver::new(&memory, RX), Driver::new(&memory, TX));
    machine.start_ring(0, &rx, 0);
    machine.start_ring(1, &tx, 0);
    assert!(is_closed(&mut host));
    machine.send(&mut tx, op::REQUEST, &[]);
    assert!(handoff::receive(&machine.receiver).unwrap().is_some());
    machine.end().unwrap();
}

#[test]
fn a_driver_that_breaks_its_ring_stops_only_that_ring() {
    let mut machine = Machine::new();
    machine.negotiate();
    let memory = machine.memory.clone();
    let (rx, mut tx) = (Driver::new(&memory, RX), Driver::new(&memory, TX));
    machine.start_ring(0, &rx, 0);
    machine.start_ring(1, &tx, 0);
    tx.avail = 2 * SIZE;
    tx.offer(0);
    machine.kicks[1].write(1).unwrap();
    // Still there: it answers, stops the ring and starts it afresh.
    machine.front.get_vring_base(1).unwrap();
    memory.write_slice(&[0; RING_BYTES as usize], GuestAddress(TX)).unwrap();
    let mut tx = Driver::new(&memory, TX);
    machine.start_ring(1, &tx, 0);
    machine.send(&mut tx, op::REQUEST, &[]);
    machine.end().unwrap();
}

#[test]
fn requests_that_make_no_sense_end_the_device() {
    type Request = fn(&mut Machine);
    let wrong: [(&str, Request); 8] = [
        ("a size that is no power of two", |machine| drop(machine.front.set_vring_num(0, 15))),
        ("a size beyond the largest", |machine| drop(machine.front.set_vring_num(0, 2048))),
        ("a ring that is not there", |machine| drop(machine.front.set_vring_num(2, 0))),
        ("a kick before an address", |machine| {
            let kick = machine.kicks[0].try_clone().unwrap();
            drop(machine.front.set_vring_kick(0, &kick));
        }),
        ("a ring outside the memory", |machine| {
            let ring = Driver::new(&machine.memory, MEMORY);
            drop(machine.front.set_vring_addr(0, &description(&ring)));
        }),
        ("a ring that ends outside the memory", |machine| {
            let memory = machine.memory.clone();
            let ring = Driver::new(&memory, MEMORY - RING_BYTES / 2 - 16);
            machine.front.set_vring_num(0, SIZE).unwrap();
            machine.front.set_vring_addr(0, &description(&ring)).unwrap();
            let kick = machine.kicks[0].try_clone().unwrap();
            drop(machine.front.set_vring_kick(0, &kick));
        }),
        ("features that were not offered", |machine| drop(machine.front.set_features(1 << 40))),
        ("memory longer than its file", |machine| {
            let region = VhostUserMemoryRegionInfo {
                guest_phys_addr: 0,
                memory_size: MEMORY * 2,
                userspace_addr: USER,
                mmap_offset: 0,
                mmap_handle: machine.file.as_raw_fd(),
            };
            drop(machine.front.set_mem_table(&[region]));
        }),
    ];
    for (what, request) in wrong {
        let mut machine = Machine::new();
        machine.negotiate();
        request(&mut machine);
        assert!(matches!(machine.end(), Err(ServeError::Request(_))), "{what}");
    }
}

#[test]
fn a_machine_that_ends_at_once_is_no_error() {
    Machine::new().end().unwrap();
}
