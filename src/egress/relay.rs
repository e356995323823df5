//! Bytes that nobody looks into: allowed `tcp` rules, and TLS that a rule passes through unopened.

use crate::{
    policy::{Permit, explain::place},
    sys::relay::join,
};

use super::{
    audit::{Attempt, allow, unreached},
    io::BoxIo,
    shared::Shared,
};

/// Dials what the permit names and joins both streams; each direction ends on its own.
pub(crate) async fn relay(shared: &Shared, guest: BoxIo, permit: Permit, attempt: &Attempt) {
    let dialled = shared.upstream.tcp(&permit).await;
    let draft = match &dialled {
        Ok(_) => allow(attempt, "rule_allows", permit.rule()),
        Err(error) => unreached(attempt, error, permit.rule()),
    };
    if shared.control.event(draft).await.is_err() {
        return;
    }
    if let Ok(upstream) = dialled {
        tracing::debug!(to = place(permit.target(), permit.port()), "relaying");
        // An end by either side is an ordinary one; there is nobody to tell.
        let _ended = join(guest, upstream).await;
    }
}
