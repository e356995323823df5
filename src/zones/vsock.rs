//! The `vsock` zone: the machine's only way out, as a vhost-user device. Assume it taken over by the guest: it holds
//! the guest's memory and two sockets, and can reach nothing else.

use std::os::unix::net::UnixListener;

use super::{
    config::VsockConfig,
    entry::{self, ZoneError},
};
use crate::{
    devices::vsock,
    sys::descriptors::FIRST,
    wire::{GUEST_CID, port},
};

pub(super) fn main() -> Result<(), ZoneError> {
    let config: VsockConfig = entry::config()?;
    let listener = UnixListener::from(entry::take(FIRST, "the device's listener")?);
    let keeper = entry::take(FIRST + 1, "the keeper's socket")?;
    let egress = entry::take(FIRST + 2, "egress's socket")?;
    entry::enter(&config.jail)?;
    let dialer = keeper.try_clone().map_err(ZoneError::failed("cannot copy the keeper's socket"))?;
    let routes = vsock::Routes {
        host_ports: vec![(port::HOST_CONTROL, keeper), (port::HOST_EGRESS, egress)],
        diallers: vec![dialer],
    };
    vsock::serve(listener, GUEST_CID, routes).map_err(ZoneError::failed("the device ended"))
}
