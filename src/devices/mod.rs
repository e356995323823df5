//! Device back ends that run as processes of their own, written over guest memory.

pub mod fs;
pub mod vsock;
