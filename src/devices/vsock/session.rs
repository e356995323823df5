//! What the front end has set up: memory, rings, features. The vhost-user requests that a vsock device gets.
//!
//! QEMU belongs to a zone that may be taken over, so each request is checked; one that makes no sense ends the
//! device, and with it the machine's streams. A ring that the guest's driver breaks is only stopped.

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use rustix::event::epoll::{self, EventData, EventFlags};
use vhost::vhost_user::{
    Error as RequestError, GpuBackend, Result as RequestResult, VhostUserBackendReqHandlerMut,
    message::{
        VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight,
        VhostUserLog, VhostUserMemoryRegion, VhostUserProtocolFeatures, VhostUserSharedMsg,
        VhostUserSingleMemoryRegion, VhostUserVirtioFeatures, VhostUserVringAddrFlags, VhostUserVringState,
    },
};
use virtio_bindings::{virtio_config::VIRTIO_F_VERSION_1, virtio_ring::VIRTIO_RING_F_EVENT_IDX};
use virtio_queue::QueueT;
use vm_memory::GuestAddress;

use super::{
    device::Device,
    ring::{Memory, Ring, failed},
    vhost_user::KICKS,
};

/// Receive, transmit, and the event queue, which is accepted and never served.
const RINGS: usize = 3;

const FEATURES: u64 = (1 << VIRTIO_F_VERSION_1) | (1 << VIRTIO_RING_F_EVENT_IDX);

/// One front end's device.
pub(super) struct Session {
    device: Device,
    epoll: Arc<OwnedFd>,
    memory: Option<Memory>,
    rings: [Ring; RINGS],
}

impl Session {
    pub fn new(device: Device, epoll: Arc<OwnedFd>) -> Self {
        Self { device, epoll, memory: None, rings: std::array::from_fn(|_| Ring::new()) }
    }

    pub fn device(&mut self) -> &mut Device {
        &mut self.device
    }

    /// Moves packets both ways; true when there is more to do at once.
    pub fn serve_rings(&mut self) -> bool {
        let Some(map) = self.memory.as_ref().map(|memory| &memory.map) else { return false };
        let [rx, tx, _] = &mut self.rings;
        let sent = tx.serve("transmit", |queue| self.device.serve_tx(queue, map));
        let received = rx.serve("receive", |queue| self.device.serve_rx(queue, map));
        let unblocked = sent.stalled && self.device.core().may_take_tx();
        sent.more || received.more || unblocked
    }

    fn ring(&mut self, index: u32) -> RequestResult<&mut Ring> {
        self.rings.get_mut(index as usize).ok_or(RequestError::InvalidParam)
    }

    /// The guest's address of what lies at this address of QEMU's.
    fn translate(&self, user_address: u64) -> RequestResult<GuestAddress> {
        let memory = self.memory.as_ref().ok_or(RequestError::InvalidParam)?;
        memory.translate(user_address).ok_or(RequestError::InvalidParam)
    }

    fn unwatch(&mut self, index: u32) {
        if let Some(kick) = self.rings.get_mut(index as usize).and_then(|ring| ring.kick.take()) {
            // QEMU keeps a duplicate, so closing ours would not take it out of the set.
            let _ = epoll::delete(&*self.epoll, &kick);
        }
    }
}

fn not_offered<T>() -> RequestResult<T> {
    Err(RequestError::InvalidOperation("not offered by this device"))
}

impl VhostUserBackendReqHandlerMut for Session {
    fn set_owner(&mut self) -> RequestResult<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> RequestResult<()> {
        Ok(())
    }

    fn get_features(&mut self) -> RequestResult<u64> {
        Ok(FEATURES | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits())
    }

    fn set_features(&mut self, features: u64) -> RequestResult<()> {
        let protocol = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
        if features & !(FEATURES | protocol) != 0 {
            return Err(RequestError::InvalidParam);
        }
        for ring in &mut self.rings {
            ring.queue.set_event_idx(features & (1 << VIRTIO_RING_F_EVENT_IDX) != 0);
            // Without the protocol features there is no message that enables a ring.
            ring.enabled |= features & protocol == 0;
        }
        Ok(())
    }

    fn get_protocol_features(&mut self) -> RequestResult<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::CONFIG)
    }

    fn set_protocol_features(&mut self, _features: u64) -> RequestResult<()> {
        Ok(())
    }

    fn get_queue_num(&mut self) -> RequestResult<u64> {
        Ok(RINGS as u64)
    }

    fn get_config(&mut self, offset: u32, size: u32, _: VhostUserConfigFlags) -> RequestResult<Vec<u8>> {
        let config = self.device.core().guest_cid().to_le_bytes();
        let range = (offset as usize)..(offset as usize).saturating_add(size as usize);
        config.get(range).map(<[u8]>::to_vec).ok_or(RequestError::InvalidParam)
    }

    fn set_config(&mut self, _: u32, _: &[u8], _: VhostUserConfigFlags) -> RequestResult<()> {
        not_offered()
    }

    fn set_mem_table(&mut self, regions: &[VhostUserMemoryRegion], files: Vec<File>) -> RequestResult<()> {
        self.memory = Some(Memory::map(regions, files)?);
        Ok(())
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> RequestResult<()> {
        let size = u16::try_from(num).map_err(|_| RequestError::InvalidParam)?;
        self.ring(index)?.queue.try_set_size(size).map_err(|_| RequestError::InvalidParam)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> RequestResult<()> {
        let descriptor = self.translate(descriptor)?;
        let (used, available) = (self.translate(used)?, self.translate(available)?);
        let queue = &mut self.ring(index)?.queue;
        queue.try_set_desc_table_address(descriptor).map_err(failed)?;
        queue.try_set_avail_ring_address(available).map_err(failed)?;
        queue.try_set_used_ring_address(used).map_err(failed)
    }

    /// A ring that goes on where it stopped was paused; one that does not has a new driver, which knows nothing of
    /// the old one's connections.
    fn set_vring_base(&mut self, index: u32, base: u32) -> RequestResult<()> {
        let base = u16::try_from(base).map_err(|_| RequestError::InvalidParam)?;
        let queue = &mut self.ring(index)?.queue;
        if queue.next_avail() != base {
            queue.set_next_avail(base);
            self.device.core().reset();
        }
        Ok(())
    }

    fn get_vring_base(&mut self, index: u32) -> RequestResult<VhostUserVringState> {
        self.unwatch(index);
        let ring = self.ring(index)?;
        ring.queue.set_ready(false);
        ring.call = None;
        Ok(VhostUserVringState::new(index, ring.queue.next_avail().into()))
    }

    fn set_vring_kick(&mut self, index: u8, kick: Option<File>) -> RequestResult<()> {
        let index = u32::from(index);
        self.unwatch(index);
        // Polled rings are not for a process that sleeps.
        let kick = kick.ok_or(RequestError::InvalidParam)?;
        // Edge triggered: each kick is an edge, so the counter need not be read.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&*self.epoll, &kick, EventData::new_u64(KICKS + u64::from(index)), flags)
            .map_err(failed)?;
        let map = &self.memory.as_ref().ok_or(RequestError::InvalidParam)?.map;
        let ring = self.rings.get_mut(index as usize).ok_or(RequestError::InvalidParam)?;
        ring.kick = Some(kick);
        ring.start(map)
    }

    fn set_vring_call(&mut self, index: u8, call: Option<File>) -> RequestResult<()> {
        self.ring(index.into())?.call = call;
        Ok(())
    }

    fn set_vring_err(&mut self, index: u8, _err: Option<File>) -> RequestResult<()> {
        self.ring(index.into()).map(drop)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> RequestResult<()> {
        self.ring(index)?.enabled = enable;
        Ok(())
    }

    fn reset_device(&mut self) -> RequestResult<()> {
        not_offered()
    }

    fn set_gpu_socket(&mut self, _: GpuBackend) -> RequestResult<()> {
        not_offered()
    }

    fn get_shared_object(&mut self, _: VhostUserSharedMsg) -> RequestResult<File> {
        not_offered()
    }

    fn get_inflight_fd(&mut self, _: &VhostUserInflight) -> RequestResult<(VhostUserInflight, File)> {
        not_offered()
    }

    fn set_inflight_fd(&mut self, _: &VhostUserInflight, _: File) -> RequestResult<()> {
        not_offered()
    }

    fn get_max_mem_slots(&mut self) -> RequestResult<u64> {
        not_offered()
    }

    fn add_mem_region(&mut self, _: &VhostUserSingleMemoryRegion, _: File) -> RequestResult<()> {
        not_offered()
    }

    fn remove_mem_region(&mut self, _: &VhostUserSingleMemoryRegion) -> RequestResult<()> {
        not_offered()
    }

    fn set_device_state_fd(
        &mut self,
        _: VhostTransferStateDirection,
        _: VhostTransferStatePhase,
        _: File,
    ) -> RequestResult<Option<File>> {
        not_offered()
    }

    fn check_device_state(&mut self) -> RequestResult<()> {
        not_offered()
    }

    fn set_log_base(&mut self, _: &VhostUserLog, _: File) -> RequestResult<()> {
        not_offered()
    }
}
