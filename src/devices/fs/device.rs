//! The virtqueues: requests out of guest memory, answers into it.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use fuse_backend_rs::{
    abi::fuse_abi::InHeader,
    api::server::Server,
    transport::{Reader, VirtioFsWriter, Writer},
};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringT};
use virtio_bindings::{
    virtio_config::VIRTIO_F_VERSION_1,
    virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC},
};
use virtio_queue::{DescriptorChain, QueueT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::{
    epoll::EventSet,
    event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier},
};

use super::folder::Folder;

/// One for forgetting, one for requests: what the machine is told, and all that guests before Linux 6.10 use.
const QUEUES: usize = 2;
/// Largest ring; QEMU's default for this device is 128.
const QUEUE_SIZE: usize = 1024;
/// Length of the tag in the device's configuration space.
const TAG_BYTES: usize = 36;
/// Largest request: a write of 1 MiB with its header. Longer ones get no answer, so that no length that the guest
/// names is ever allocated.
const LARGEST_REQUEST: usize = (1 << 20) + 4096;
/// Largest room for an answer.
const LARGEST_ANSWER: usize = (1 << 20) + 4096;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// The virtio-fs device of one folder.
pub struct Device {
    server: Server<Folder>,
    memory: Memory,
    event_idx: AtomicBool,
    config: [u8; TAG_BYTES + 4],
}

impl Device {
    /// A device whose rings lie in `memory`.
    ///
    /// # Errors
    /// When the tag is empty or longer than 36 bytes.
    pub fn new(tag: &str, folder: Folder, memory: Memory) -> Result<Self, TagError> {
        let bytes = tag.as_bytes();
        if bytes.is_empty() || bytes.len() > TAG_BYTES || bytes.contains(&0) {
            return Err(TagError(tag.to_owned()));
        }
        let mut config = [0; TAG_BYTES + 4];
        config[..bytes.len()].copy_from_slice(bytes);
        config[TAG_BYTES..].copy_from_slice(&(QUEUES as u32 - 1).to_le_bytes());
        Ok(Self { server: Server::new(folder), memory, event_idx: AtomicBool::new(false), config })
    }

    /// Answers all requests of a ring, with notifications held off meanwhile.
    fn drain(&self, ring: &VringRwLock) -> io::Result<()> {
        if !self.event_idx.load(Ordering::Acquire) {
            self.serve_ready(ring)?;
            return Ok(());
        }
        let mut idle = false;
        loop {
            ring.disable_notification().map_err(io::Error::other)?;
            let served = self.serve_ready(ring)?;
            let more = ring.enable_notification().map_err(io::Error::other)?;
            // A broken ring says "more" for ever and gives nothing; twice nothing is the end of it.
            if !more || (served == 0 && idle) {
                return Ok(());
            }
            idle = served == 0;
        }
    }

    fn serve_ready(&self, ring: &VringRwLock) -> io::Result<usize> {
        let mut served = 0;
        loop {
            let memory = self.memory.memory();
            let Some(chain) = ring.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone()) else {
                return Ok(served);
            };
            let head = chain.head_index();
            let length = self.answer(&memory, chain);
            ring.add_used(head, length).map_err(io::Error::other)?;
            if ring.needs_notification().map_err(io::Error::other)? {
                ring.signal_used_queue()?;
            }
            served += 1;
        }
    }

    /// Answers one request; how many bytes were written. A request that makes no sense gets none.
    pub(super) fn answer(
        &self,
        memory: &GuestMemoryMmap,
        chain: DescriptorChain<GuestMemoryLoadGuard<GuestMemoryMmap>>,
    ) -> u32 {
        let Ok(request) = Reader::from_descriptor_chain(memory, chain.clone()) else { return 0 };
        let Ok(answer) = VirtioFsWriter::new(memory, chain) else { return 0 };
        if request.available_bytes() > LARGEST_REQUEST || answer.available_bytes() > LARGEST_ANSWER {
            return 0;
        }
        if request.available_bytes() < size_of::<InHeader>() {
            return 0;
        }
        let written = self.server.handle_message(request, Writer::VirtioFs(answer), None, None);
        written.ok().and_then(|length| u32::try_from(length).ok()).unwrap_or(0)
    }
}

/// The tag does not fit.
#[derive(Debug, thiserror::Error)]
#[error("the mount tag {0:?} cannot be used: it must have 1 to 36 bytes and no NUL")]
pub struct TagError(String);

impl VhostUserBackend for Device {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn set_event_idx(&self, enabled: bool) {
        self.event_idx.store(enabled, Ordering::Release);
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let start = offset as usize;
        self.config.get(start..start.saturating_add(size as usize)).map(<[u8]>::to_vec).unwrap_or_default()
    }

    fn update_memory(&self, _: Memory) -> io::Result<()> {
        // It is the one given to `new`, with its regions replaced inside.
        Ok(())
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(&self, queue: u16, _: EventSet, rings: &[VringRwLock], _: usize) -> io::Result<()> {
        // An error would end the thread and leave the guest waiting; a ring that the guest broke is its own loss.
        if let Some(ring) = rings.get(usize::from(queue))
            && let Err(error) = self.drain(ring)
        {
            tracing::debug!(queue, %error, "virtio-fs ring is broken");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::devices::fs::{FsConfig, Guard, Owner};

    #[test]
    fn a_ring_that_promises_more_than_it_has_does_not_spin() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap().into();
        let owner = Owner { uid: 0, gid: 0 };
        let config = FsConfig { root, read_only: true, owner, hidden: Vec::new(), guard: Guard::off() };
        let mapped = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        let memory = GuestMemoryAtomic::new(mapped);
        let device = Device::new("t", Folder::new(config).unwrap(), memory.clone()).unwrap();
        device.set_event_idx(true);
        let ring = VringRwLock::new(memory.clone(), 16).unwrap();
        ring.set_queue_size(16);
        ring.set_queue_info(0x1000, 0x2000, 0x3000).unwrap();
        ring.set_queue_event_idx(true);
        ring.set_queue_ready(true);
        // An index far beyond the ring: "more" is true for ever, and there is never a chain.
        memory.memory().write_obj(1000_u16, GuestAddress(0x2002)).unwrap();
        device.drain(&ring).unwrap();
        assert!(ring.enable_notification().unwrap(), "the trap is set");
    }

    #[test]
    fn a_tag_has_1_to_36_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let made = |tag: &str| {
            let root = std::fs::File::open(dir.path()).unwrap().into();
            let owner = Owner { uid: 0, gid: 0 };
            let config = FsConfig { root, read_only: true, owner, hidden: Vec::new(), guard: Guard::off() };
            let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
            Device::new(tag, Folder::new(config).unwrap(), memory).map(|device| device.get_config(0, 40))
        };
        assert_eq!(made("ws").unwrap()[..4], *b"ws\0\0");
        assert_eq!(made("ws").unwrap()[36..], 1_u32.to_le_bytes());
        assert!(made("").is_err() && made(&"t".repeat(37)).is_err() && made("a\0b").is_err());
    }
}
