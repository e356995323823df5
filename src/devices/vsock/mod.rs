//! virtio-vsock (virtio 1.2, 5.10): the guest's only way to talk to anyone.
//!
//! ```text
//!   guest memory        device          core ── table of connections          handoff sockets
//!   ┌─────────┐  tx   ┌────────┐ bytes ┌──────┐   connection: socket, credit  ┌────────┐
//!   │ rings   │──────▶│ gather │──────▶│      │◀─────────────────────────────▶│ egress │ host port → new stream
//!   │ buffers │◀──────│ scatter│◀──────│      │                               │ keeper │ stream → guest port
//!   └─────────┘  rx   └────────┘       └──────┘                               └────────┘
//!        ▲ vhost_user: rings, memory and eventfds from QEMU; owns the loop
//! ```
//!
//! Read [`packet`] and `credit` first, then `connection` (the states), `core` (all connections), `routes` (where
//! streams come from and go to), `device` (queues), `session` (what QEMU sets up), `vhost_user` (the process).
//! Everything up to `core` knows no guest memory; everything up to `device` serves our own VMM too.
//!
//! One thread, one event loop; no thread is started. The crate `vhost-user-backend` would run requests and rings on
//! threads of their own, go on serving requests when its ring thread has died, and let a ring be stopped while it
//! is being served, so the few messages that matter are handled here on top of `vhost`. `virtio-vsock`'s packet
//! type asks for one descriptor of data; a driver may use several, so packets are gathered here.
//!
//! What is absent: no `socket`, `connect` or `bind`, no path, no name; seqpacket sockets, which are not offered; any
//! memory that a guest could make grow; the event queue, which only tells a guest that its context id has changed.

mod connection;
mod core;
mod credit;
mod device;
mod local;
pub mod packet;
mod reactor;
mod ring;
mod routes;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod vhost_user;

pub use self::{
    core::{Core, Limits},
    device::{Device, RingError, Turn},
    routes::Routes,
    vhost_user::{ServeError, serve},
};
