//! (to be written)
pub mod vsock;
