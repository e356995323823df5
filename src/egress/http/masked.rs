//! A response's body in which values that the server sends back are written over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::egress::{
    audit::{Attempt, deny},
    reflect::Masker,
    session::report,
    shared::Shared,
};

/// The body of a host that a secret is bound to.
pub(super) struct Masked<B> {
    inner: B,
    shared: Arc<Shared>,
    attempt: Attempt,
    masker: Masker,
    reported: Vec<usize>,
}

impl<B> Masked<B> {
    /// Around a body; what is found is reported under `attempt`, once for each secret.
    pub fn new(inner: B, shared: &Arc<Shared>, masker: Masker, attempt: Attempt) -> Self {
        Self { inner, shared: shared.clone(), attempt, masker, reported: Vec::new() }
    }

    fn report(&mut self, found: Vec<usize>) {
        for secret in found {
            if self.reported.contains(&secret) {
                continue;
            }
            self.reported.push(secret);
            let attempt = self.attempt.clone().action("secret.use");
            let attempt = attempt.with("secret", self.shared.secrets.name_at(secret)).with("place", "body");
            let shared = self.shared.clone();
            tokio::spawn(async move { report(&shared, deny(&attempt, "secret_reflected", None)).await });
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Masked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.masker.holds() > 0 => {
                    let rest = self.masker.finish();
                    return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                }
                None => return Poll::Ready(None),
            };
            let Ok(bytes) = frame.into_data() else { continue };
            let mut found = Vec::new();
            let passed = self.masker.push(&bytes, &mut found);
            self.report(found);
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed.into()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.masker.holds() == 0 && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.inner.size_hint(), self.masker.holds() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
