//! A machine's memory and one of its rings, as the front end describes them.

use std::{fs::File, io, sync::atomic::Ordering};

use vhost::vhost_user::{Error as RequestError, Result as RequestResult, message::VhostUserMemoryRegion};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use super::device::{RingError, Turn};

/// Largest ring that a front end may set up; QEMU uses 128 here.
const MAX_SIZE: u16 = 1024;

/// The guest's memory, by its own addresses and by QEMU's.
pub(super) struct Memory {
    pub map: GuestMemoryMmap,
    regions: Vec<Region>,
}

struct Region {
    user_address: u64,
    size: u64,
    guest_address: u64,
}

impl Memory {
    /// Maps the regions; each has its file.
    pub fn map(described: &[VhostUserMemoryRegion], files: Vec<File>) -> RequestResult<Self> {
        let mut mapped = Vec::new();
        let mut regions = Vec::new();
        for (region, file) in described.iter().zip(files) {
            // A mapping beyond the end of its file would fault when it is touched.
            let end = region.mmap_offset.checked_add(region.memory_size).ok_or(RequestError::InvalidParam)?;
            if file.metadata().map_err(RequestError::ReqHandlerError)?.len() < end {
                return Err(RequestError::InvalidParam);
            }
            let guest_address = GuestAddress(region.guest_phys_addr);
            let map = GuestRegionMmap::new(region.mmap_region(file)?, guest_address);
            mapped.push(map.ok_or(RequestError::InvalidParam)?);
            regions.push(Region {
                user_address: region.user_addr,
                size: region.memory_size,
                guest_address: region.guest_phys_addr,
            });
        }
        // It refuses regions that overlap.
        let map = GuestMemoryMmap::from_regions(mapped).map_err(failed)?;
        Ok(Self { map, regions })
    }

    /// The guest's address of what lies at this address of QEMU's.
    pub fn translate(&self, user_address: u64) -> Option<GuestAddress> {
        self.regions.iter().find_map(|region| {
            let offset = user_address.checked_sub(region.user_address)?;
            (offset < region.size).then(|| GuestAddress(region.guest_address + offset))
        })
    }
}

/// A ring; it is served while it is started and enabled.
pub(super) struct Ring {
    pub queue: Queue,
    pub enabled: bool,
    pub kick: Option<File>,
    pub call: Option<File>,
}

impl Ring {
    pub fn new() -> Self {
        let queue = Queue::new(MAX_SIZE).expect("a power of two is a valid size");
        Self { queue, enabled: false, kick: None, call: None }
    }

    /// Starts the ring, which is what its kick means.
    pub fn start(&mut self, map: &GuestMemoryMmap) -> RequestResult<()> {
        self.queue.set_ready(true);
        if self.queue.avail_ring() == 0 || !self.queue.is_valid(map) {
            self.queue.set_ready(false);
            return Err(RequestError::InvalidParam);
        }
        let used = self.queue.used_idx(map, Ordering::Acquire).map_err(failed)?;
        self.queue.set_next_used(used.0);
        Ok(())
    }

    /// Serves the ring once, if it may be, and notifies the driver. One that the driver has broken is stopped.
    pub fn serve(&mut self, name: &str, turn: impl FnOnce(&mut Queue) -> Result<Turn, RingError>) -> Turn {
        if !self.enabled || !self.queue.ready() {
            return Turn::default();
        }
        match turn(&mut self.queue) {
            Ok(turn) => {
                if let Some(call) = self.call.as_ref().filter(|_| turn.notify) {
                    // It fails when as many are pending as fit, and then the driver will look anyway.
                    let _ = rustix::io::write(call, &1u64.to_ne_bytes());
                }
                turn
            }
            Err(error) => {
                tracing::warn!(ring = name, %error, "the guest's driver broke a vsock ring; it is stopped");
                self.queue.set_ready(false);
                Turn::default()
            }
        }
    }
}

pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> RequestError {
    RequestError::ReqHandlerError(io::Error::other(error))
}
