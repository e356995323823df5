//! The driver's half of a split ring (virtio 1.2, 2.7), written straight into memory so that it can lie.

use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

/// Entries of the ring.
pub(super) const SIZE: u16 = 16;
/// Bytes of one ring's three parts.
pub(super) const RING_BYTES: u64 = 0x1000;
const AVAIL: u64 = 0x400;
const USED: u64 = 0x800;

/// One ring at an address.
pub(super) struct Driver<'a> {
    memory: &'a GuestMemoryMmap,
    base: u64,
    next_descriptor: u16,
    pub avail: u16,
    seen: u16,
}

impl<'a> Driver<'a> {
    pub fn new(memory: &'a GuestMemoryMmap, base: u64) -> Self {
        Self { memory, base, next_descriptor: 0, avail: 0, seen: 0 }
    }

    /// Addresses of the descriptor table, the available and the used ring.
    pub fn addresses(&self) -> [u64; 3] {
        [self.base, self.base + AVAIL, self.base + USED]
    }

    /// The device's half.
    pub fn queue(&self) -> Queue {
        let [descriptors, avail, used] = self.addresses().map(GuestAddress);
        let mut queue = Queue::new(SIZE).unwrap();
        queue.try_set_desc_table_address(descriptors).unwrap();
        queue.try_set_avail_ring_address(avail).unwrap();
        queue.try_set_used_ring_address(used).unwrap();
        queue.set_ready(true);
        assert!(queue.is_valid(self.memory));
        queue
    }

    pub fn descriptor(&self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        self.write_descriptor(self.base, index, address, len, flags, next);
    }

    pub fn write_descriptor(&self, table: u64, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.memory.write_slice(&bytes, GuestAddress(table + u64::from(index) * 16)).unwrap();
    }

    /// Makes a chain available.
    pub fn offer(&mut self, head: u16) {
        let slot = self.base + AVAIL + 4 + u64::from(self.avail % SIZE) * 2;
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.avail = self.avail.wrapping_add(1);
        self.memory.write_obj(self.avail, GuestAddress(self.base + AVAIL + 2)).unwrap();
    }

    /// Chains these buffers with these flags and makes them available.
    pub fn offer_buffers(&mut self, buffers: &[(u64, u32, u16)]) -> u16 {
        let head = self.next_descriptor;
        for (position, &(address, len, flags)) in (0..).zip(buffers) {
            let last = position + 1 == buffers.len();
            let next = (self.next_descriptor + 1) % SIZE;
            self.descriptor(
                self.next_descriptor,
                address,
                len,
                if last { flags } else { flags | NEXT },
                next,
            );
            self.next_descriptor = next;
        }
        self.offer(head);
        head
    }

    /// What the device has given back since the last call: heads and lengths.
    pub fn used(&mut self) -> Vec<(u32, u32)> {
        let index: u16 = self.memory.read_obj(GuestAddress(self.base + USED + 2)).unwrap();
        let mut given_back = Vec::new();
        while self.seen != index {
            let element = GuestAddress(self.base + USED + 4 + u64::from(self.seen % SIZE) * 8);
            let [head, len]: [u32; 2] = self.memory.read_obj(element).unwrap();
            given_back.push((head, len));
            self.seen = self.seen.wrapping_add(1);
        }
        given_back
    }
}
