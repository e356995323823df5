//! Requests to the world, over a connection that belongs to one connection of the guest.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use crate::{
    egress::{
        dial::DialError,
        limits::{HEAD_BYTES, HEADER_FIELDS},
        open::{Allowed, Entry},
        shared::Shared,
    },
    model::rule::{Protocol, Target},
    policy::Permit,
};

/// Body of what the guest gets.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, hyper::Error>;
/// Body of what the world gets.
type RequestBody = WithoutTrailers<Incoming>;
/// A request to the world.
pub(super) type Outgoing = Request<RequestBody>;

/// Why a permitted request has no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke, or what came back is not HTTP.
    #[error("the server's answer is not acceptable")]
    Exchange(#[from] hyper::Error),
}

impl ForwardError {
    /// The stable reason code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Dial(error) => error.code(),
            Self::Exchange(_) => "upstream_failed",
        }
    }
}

/// The upstream connection of one client connection. One key at a time, so that no two hosts and no two
/// protocols ever share it.
#[derive(Default)]
pub(super) struct Link {
    connection: Option<Connection>,
}

struct Connection {
    key: (Target, u16, Protocol),
    sender: SendRequest<RequestBody>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection that is ready, and the permit that it was readied for.
pub(super) struct Ready<'a> {
    link: &'a mut Link,
    permit: Permit,
    protocol: Protocol,
}

impl Link {
    /// Readies a connection for a permitted request: TLS is up and verified, nothing of the request was sent.
    pub async fn ready(
        &mut self,
        shared: &Shared,
        permit: Permit,
        protocol: Protocol,
    ) -> Result<Ready<'_>, ForwardError> {
        let key = (permit.target().clone(), permit.port(), protocol);
        let reusable = match &mut self.connection {
            Some(connection) if connection.key == key => connection.sender.ready().await.is_ok(),
            _ => false,
        };
        if !reusable {
            self.connection = None;
            self.connection = Some(connect(shared, &permit, key).await?);
        }
        Ok(Ready { link: self, permit, protocol })
    }
}

impl Ready<'_> {
    /// Sends the request. A kept connection that the server closed in the meantime is replaced once, when nothing
    /// of the request has left.
    pub async fn send(self, shared: &Shared, request: Outgoing) -> Result<Response<Incoming>, ForwardError> {
        let Some(connection) = &mut self.link.connection else {
            return Err(DialError::Connect(std::io::ErrorKind::NotConnected.into()).into());
        };
        let unsent = match connection.sender.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(mut failed) => match failed.take_message() {
                Some(request) => request,
                None => return Err(failed.into_error().into()),
            },
        };
        let key = (self.permit.target().clone(), self.permit.port(), self.protocol);
        let fresh = self.link.connection.insert(connect(shared, &self.permit, key).await?);
        Ok(fresh.sender.send_request(unsent).await?)
    }
}

async fn connect(
    shared: &Shared,
    permit: &Permit,
    key: (Target, u16, Protocol),
) -> Result<Connection, ForwardError> {
    let stream = match key.2 {
        Protocol::Http => shared.upstream.tcp(permit).await?,
        Protocol::Https | Protocol::Tls | Protocol::Tcp => shared.upstream.tls(permit).await?,
    };
    let (sender, connection) = http1::Builder::new()
        .max_headers(HEADER_FIELDS)
        .max_buf_size(HEAD_BYTES * 2)
        .handshake(TokioIo::new(stream))
        .await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(Connection { key, sender, driver })
}

/// A body whose trailers are dropped: nobody judged them.
pub(super) struct WithoutTrailers<B> {
    inner: B,
    in_flight: Option<InFlight>,
}

impl<B> WithoutTrailers<B> {
    /// Around a request's body.
    pub fn new(inner: B) -> Self {
        Self { inner, in_flight: None }
    }

    /// Around a response's body; the request is in flight until the body is gone.
    pub fn until_gone(inner: B, in_flight: InFlight) -> Self {
        Self { inner, in_flight: Some(in_flight) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WithoutTrailers<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) if !frame.is_data() => Poll::Ready(None),
            Poll::Ready(None) => {
                self.in_flight = None;
                Poll::Ready(None)
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request in flight: its connection is judged as this request until it is dropped.
pub(super) struct InFlight {
    entry: Arc<Entry>,
    afterwards: Option<Allowed>,
}

impl InFlight {
    /// From now on, `request`; afterwards, the idle connection.
    pub fn begin(entry: &Arc<Entry>, request: Allowed, keeps_name: bool) -> Self {
        let afterwards = keeps_name.then(|| Allowed { http: None, ..request.clone() });
        entry.set(Some(request));
        Self { entry: entry.clone(), afterwards }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.entry.set(self.afterwards.take());
    }
}
