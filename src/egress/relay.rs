//! Bytes that nobody looks into: allowed `tcp` rules, and TLS that a rule passes through unopened.

use tokio::io::copy_bidirectional_with_sizes;

use crate::policy::{Permit, explain::place};

use super::{
    audit::{Attempt, allow, unreached},
    io::BoxIo,
    shared::Shared,
};

/// Per direction, in bytes: a full virtio-vsock packet.
const BUFFER: usize = 64 * 1024;

/// Dials what the permit names and joins both streams; each direction ends on its own.
pub(crate) async fn relay(shared: &Shared, mut guest: BoxIo, permit: Permit, attempt: &Attempt) {
    let dialled = shared.upstream.tcp(&permit).await;
    let draft = match &dialled {
        Ok(_) => allow(attempt, "rule_allows", permit.rule()),
        Err(error) => unreached(attempt, error, permit.rule()),
    };
    if shared.control.event(draft).await.is_err() {
        return;
    }
    if let Ok(mut upstream) = dialled {
        tracing::debug!(to = place(permit.target(), permit.port()), "relaying");
        // An end by either side is an ordinary one; there is nobody to tell.
        let _ended = copy_bidirectional_with_sizes(&mut guest, &mut upstream, BUFFER, BUFFER).await;
    }
}
