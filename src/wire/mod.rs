//! The protocol between host and guest. Level 0: shared with the guest crate by `#[path]`.
//!
//! Few kinds of stream cross the vsock, told apart by port:
//!
//! | port | who dials | what it carries |
//! |---|---|---|
//! | [`port::HOST_CONTROL`] | guest | [`frame`]s of JSON: [`GuestMessage`] up, [`HostMessage`] down, for the machine's life |
//! | [`port::HOST_EGRESS`] | guest | one [`StreamHeader`], then the bytes of one connection (or DNS messages) |
//! | [`port::GUEST_EXEC`] | host | one frame with an [`ExecRequest`], one with an [`ExecReply`], then [`exec`] packets |
//! | [`port::GUEST_PORTS`] | host | one [`PortRequest`], one byte of answer, then the bytes of one connection |
//! | [`port::GUEST_FILES`] | host | one frame with a [`FileRequest`], a file's bytes, one frame with a [`FileReply`] |
//!
//! Every other port is refused. What PID 1 needs before any stream exists is the [`BootConfig`] in the
//! initramfs, so that PID 1 itself parses no network input.
//!
//! Both sides treat the other as hostile: every length has a bound, every version is checked, and no message
//! of the guest grants it anything.

pub mod boot;
pub mod control;
pub mod exec;
pub mod files;
pub mod frame;
pub mod overheard;
pub mod ports;
pub mod stream;

pub use self::{
    boot::{BootConfig, GuestMount},
    control::{GuestMessage, HostMessage},
    exec::{ExecReply, ExecRequest, Packet, TtySize},
    files::{FileReply, FileRequest},
    ports::PortRequest,
    stream::{StreamHeader, StreamKind},
};

/// Version of everything in this module. The host speaks this one and the one before.
pub const VERSION: u16 = 1;

/// vsock ports.
pub mod port {
    /// Host side: the guest's control channel, dialled once at boot and again when it breaks.
    pub const HOST_CONTROL: u32 = 1;
    /// Host side: a stream that egress judges and carries.
    pub const HOST_EGRESS: u32 = 2;
    /// Guest side: the exec server.
    pub const GUEST_EXEC: u32 = 3;
    /// Guest side: connections to ports of the guest's loopback.
    pub const GUEST_PORTS: u32 = 4;
    /// Guest side: files that are written before the agent runs.
    pub const GUEST_FILES: u32 = 5;
}

/// Context id of the host in the vsock address family (virtio 1.2, 5.10.4).
pub const HOST_CID: u64 = 2;
/// Context id of every guest: each machine has a vsock of its own, so they cannot collide.
pub const GUEST_CID: u64 = 3;
