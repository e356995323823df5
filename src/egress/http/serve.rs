//! One HTTP connection of the guest.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;

use crate::{
    egress::{
        audit::{decided, deny},
        io::BoxIo,
        limits::{HEAD_BYTES, HEADER_FIELDS, REQUEST_HEAD_TIME},
        open::Place,
        session::{Peer, report},
        shared::Shared,
    },
    model::rule::Protocol,
    policy::Request,
};

use super::{forward::Link, guard::Guard, head::bad_request, judge::judge};

/// What is known of a connection before its first request.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    /// Whom it is for.
    pub peer: Peer,
    /// `Http` or `Https`: whether egress opened TLS on it.
    pub protocol: Protocol,
    /// Requests name their host themselves, in absolute form.
    pub forward_proxy: bool,
    /// The name that TLS was opened for, when the client sent one.
    pub sni: Option<String>,
}

impl Front {
    /// A connection for one peer.
    pub fn new(peer: Peer, protocol: Protocol) -> Self {
        Self { peer, protocol, forward_proxy: false, sni: None }
    }
}

/// Serves requests until either side ends.
pub(crate) async fn serve(shared: &Arc<Shared>, stream: BoxIo, front: Front, open: &Place) {
    let guard = Guard::new(stream, shared.faults);
    let violation = guard.violation();
    let front = Arc::new(front);
    let link = Arc::new(tokio::sync::Mutex::new(Link::default()));
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let (shared, front, link) = (shared.clone(), front.clone(), link.clone());
        let entry = open.entry.clone();
        async move { Ok::<_, Infallible>(judge(shared, front, link, entry, request).await) }
    });
    let connection = http1::Builder::new()
        // A half-closed client still gets its answer; so does the request before a malformed one.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIME)
        .max_headers(HEADER_FIELDS)
        .max_buf_size(HEAD_BYTES + 8 * 1024)
        .serve_connection(TokioIo::new(guard), service);
    let ended = connection.without_shutdown().await;
    if let Some(violation) = violation.get() {
        let attempt = front.peer.attempt().action("http.request").with("cause", violation);
        report(shared, deny(&attempt, "malformed_request", None)).await;
    } else if !asked.load(Ordering::Relaxed) && !front.forward_proxy {
        unasked(shared, &front).await;
    }
    if let Ok(parts) = ended {
        let mut stream = parts.io.into_inner().into_inner();
        if let Some(violation) = violation.get() {
            let _gone = stream.write_all(bad_request(&violation.to_string()).as_bytes()).await;
        }
        let _closed = stream.shutdown().await;
    }
}

/// Records a denied connection on which nothing was asked.
async fn unasked(shared: &Shared, front: &Front) {
    let Peer { target, port, .. } = &front.peer;
    let decision = shared.decide(&Request { target, port: *port, protocol: front.protocol, http: None });
    if !decision.allowed() {
        report(shared, decided(&front.peer.attempt().with("protocol", front.protocol), &decision)).await;
    }
}
