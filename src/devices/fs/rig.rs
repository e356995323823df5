//! A device without a machine: the fuzz target and the tests put a request into a ring of their own.

use vm_memory::{Bytes, GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};

use virtio_queue::{Queue, QueueT};

use super::{FsConfig, device::Device, folder::Folder};

const TABLE: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
const REQUEST: u64 = 0x1_0000;
/// Longest request that is put into the ring, a little more than the device takes.
const REQUEST_ROOM: usize = 0x12_0000;
const ANSWER: u64 = 0x20_0000;
const MEMORY: usize = 0x40_0000;
const RING: u16 = 16;

/// One device over memory of its own.
pub struct Rig {
    device: Device,
    memory: GuestMemoryAtomic<GuestMemoryMmap>,
}

impl Rig {
    /// A device for a folder.
    ///
    /// # Panics
    /// When the folder cannot be served: a rig is for tests.
    #[must_use]
    pub fn new(config: FsConfig) -> Self {
        let mapped = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("memory for the rig");
        let memory = GuestMemoryAtomic::new(mapped);
        let folder = Folder::new(config).expect("a folder for the rig");
        let device = Device::new("rig", folder, memory.clone()).expect("a tag that fits");
        Self { device, memory }
    }

    /// Sends one request with room for `room` bytes of answer, and gives the answer.
    ///
    /// # Panics
    /// Never with what the guest could send; that is what it is for.
    pub fn request(&self, request: &[u8], room: u32) -> Vec<u8> {
        let request = &request[..request.len().min(REQUEST_ROOM)];
        let room = room.min(MEMORY as u32 - ANSWER as u32);
        let memory = self.memory.memory();
        let put =
            |at: u64, bytes: &[u8]| memory.write_slice(bytes, GuestAddress(at)).expect("within the rig");
        put(REQUEST, request);
        put(TABLE, &descriptor(REQUEST, request.len() as u32, NEXT, 1));
        put(TABLE + 16, &descriptor(ANSWER, room, WRITE, 0));
        // Flags, index 1, first entry 0.
        put(AVAILABLE, &[0, 0, 1, 0, 0, 0]);
        let mut queue = Queue::new(RING).expect("a power of two");
        queue.set_size(RING);
        queue.set_desc_table_address(Some(TABLE as u32), Some(0));
        queue.set_avail_ring_address(Some(AVAILABLE as u32), Some(0));
        queue.set_used_ring_address(Some(USED as u32), Some(0));
        queue.set_ready(true);
        let chain = queue.pop_descriptor_chain(self.memory.memory()).expect("one request is there");
        let length = self.device.answer(&memory, chain);
        let mut answer = vec![0; length.min(room) as usize];
        memory.read_slice(&mut answer, GuestAddress(ANSWER)).expect("within the rig");
        answer
    }
}

const NEXT: u16 = 1;
const WRITE: u16 = 2;

fn descriptor(at: u64, length: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&at.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}
