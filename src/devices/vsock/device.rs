//! The device's two queues: packets between guest memory and the core.
//!
//! Descriptor chains are the guest's word. Each is walked with a bound on its length, every address is checked by
//! the memory's map, and a chain that makes no sense is given back unused. A ring whose own indices make no sense
//! is an error: it is not touched again until the driver sets it up anew.

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemory};

use super::{
    core::Core,
    packet::{HEADER_LEN, MAX_PAYLOAD},
};

/// Most descriptors of one chain that are looked at. Linux uses two, or one per page of a zero-copy packet.
const MAX_DESCRIPTORS: usize = 64;
/// Chains taken from a queue before the other one, and the sockets, have their turn.
const TURN: usize = 256;

/// What serving a queue once came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The driver is to be notified.
    pub notify: bool,
    /// There is more to do at once.
    pub more: bool,
    /// It waits for the other queue: packets may be taken once answers have been fetched.
    pub stalled: bool,
}

/// A ring that the driver has broken; the message of the crate says how.
pub type RingError = virtio_queue::Error;

/// The core, and the room to assemble one packet.
#[derive(Debug)]
pub struct Device {
    core: Core,
    packet: Box<[u8]>,
    buffers: Vec<(GuestAddress, usize)>,
}

impl Device {
    /// A device around this core.
    #[must_use]
    pub fn new(core: Core) -> Self {
        let packet = vec![0; HEADER_LEN + MAX_PAYLOAD].into_boxed_slice();
        Self { core, packet, buffers: Vec::with_capacity(MAX_DESCRIPTORS) }
    }

    /// The core, for its events and its reset.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Takes packets from the transmit queue.
    ///
    /// # Errors
    /// When the ring itself is broken.
    pub fn serve_tx<M: GuestMemory>(&mut self, queue: &mut Queue, mem: &M) -> Result<Turn, RingError> {
        let mut turn = Turn::default();
        queue.disable_notification(mem)?;
        for taken in 0.. {
            // No room for answers: the guest has to fetch some first, which leads here again.
            if !self.core.may_take_tx() {
                turn.stalled = true;
                break;
            }
            if taken == TURN {
                turn.more = true;
                break;
            }
            let Some(chain) = queue.iter(mem)?.next() else {
                if queue.enable_notification(mem)? {
                    continue;
                }
                break;
            };
            let head = chain.head_index();
            let len = self.gather(chain, mem);
            self.core.handle_tx_packet(&self.packet[..len]);
            queue.add_used(mem, head, 0)?;
            turn.notify = true;
        }
        turn.notify = turn.notify && queue.needs_notification(mem)?;
        Ok(turn)
    }

    /// Puts packets into the buffers of the receive queue.
    ///
    /// # Errors
    /// When the ring itself is broken.
    pub fn serve_rx<M: GuestMemory>(&mut self, queue: &mut Queue, mem: &M) -> Result<Turn, RingError> {
        let mut turn = Turn::default();
        queue.disable_notification(mem)?;
        for filled in 0.. {
            if !self.core.has_rx() {
                break;
            }
            if filled == TURN {
                turn.more = true;
                break;
            }
            let Some(chain) = queue.iter(mem)?.next() else {
                // Wait for buffers.
                if queue.enable_notification(mem)? {
                    continue;
                }
                break;
            };
            let head = chain.head_index();
            let Some(len) = self.fill(chain, mem) else {
                queue.go_to_previous_position();
                break;
            };
            queue.add_used(mem, head, len)?;
            turn.notify = true;
        }
        turn.notify = turn.notify && queue.needs_notification(mem)?;
        Ok(turn)
    }

    /// Copies a chain's readable bytes, as many as a packet can have, and says how many. None of a bad chain.
    fn gather<M: GuestMemory>(&mut self, chain: DescriptorChain<&M>, mem: &M) -> usize {
        let mut len = 0;
        for descriptor in chain.take(MAX_DESCRIPTORS) {
            if descriptor.is_write_only() || len == self.packet.len() {
                break;
            }
            let part = (descriptor.len() as usize).min(self.packet.len() - len);
            if mem.read_slice(&mut self.packet[len..len + part], descriptor.addr()).is_err() {
                return 0;
            }
            len += part;
        }
        len
    }

    /// Fills a chain with the next packet: the bytes used, none where the chain is unfit. `None`: there is none.
    fn fill<M: GuestMemory>(&mut self, chain: DescriptorChain<&M>, mem: &M) -> Option<u32> {
        let room = self.list_buffers(chain, mem);
        if room <= HEADER_LEN {
            return Some(0);
        }
        let header = self.core.next_rx_packet(&mut self.packet[HEADER_LEN..room])?;
        self.packet[..HEADER_LEN].copy_from_slice(&header.encode());
        let total = HEADER_LEN + header.len as usize;
        let mut done = 0;
        for &(address, len) in &self.buffers {
            let part = len.min(total - done);
            // The addresses were checked when they were listed, and the map cannot change in between.
            if mem.write_slice(&self.packet[done..done + part], address).is_err() {
                return Some(0);
            }
            done += part;
        }
        Some(total as u32)
    }

    /// Lists a chain's writable buffers up to the size of a packet, and says how many bytes they hold. None of a
    /// bad chain: a packet must not be lost for it.
    fn list_buffers<M: GuestMemory>(&mut self, chain: DescriptorChain<&M>, mem: &M) -> usize {
        self.buffers.clear();
        let mut room = 0;
        for descriptor in chain.take(MAX_DESCRIPTORS).filter(|descriptor| descriptor.is_write_only()) {
            let len = (descriptor.len() as usize).min(self.packet.len() - room);
            if descriptor.addr().checked_add(len as u64).is_none() || !mem.check_range(descriptor.addr(), len)
            {
                return 0;
            }
            self.buffers.push((descriptor.addr(), len));
            room += len;
            if room == self.packet.len() {
                break;
            }
        }
        room
    }
}
