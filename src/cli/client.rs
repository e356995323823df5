//! The control API of one keeper: HTTP/1.1 over its unix socket. The keeper speaks for a guest that may have taken
//! over the machine, so every answer has a bound, and the peer must be ours before a byte is sent.

use std::{io, path::PathBuf, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use crate::{
    model::{
        api::{ProgressRequest, StopRequest},
        session::{SESSION_HEADER, SessionKind},
        status::SandboxStatus,
    },
    wire::exec::ExecRequest,
};

use super::failure::{ErrorObject, Failure, Kind};

/// Protocol that `POST /v1/exec` upgrades to.
pub const EXEC_PROTOCOL: &str = "cofferdam-exec";
/// Longest answer that is read, in bytes; a status with its notes is a few thousand.
const ANSWER_MAX: usize = 1024 * 1024;
/// A keeper that has not answered a plain question after this hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// The control API of one sandbox.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Answer to `POST /v1/policy/reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Revision that is now in force.
    pub revision: u64,
    /// SHA-256 of its rules.
    pub hash: String,
    /// Open connections that it closed.
    pub closed: u32,
}

/// A stream to the exec server in the guest, after the upgrade.
#[derive(Debug)]
pub struct ExecStream {
    /// The stream.
    pub stream: UnixStream,
    /// Bytes of it that arrived together with the HTTP answer.
    pub early: Bytes,
}

/// Why the keeper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the sandbox is not running")]
    NotRunning,
    /// The socket cannot be used.
    #[error("cannot connect to the control socket {socket}", socket = .0.display())]
    Connect(PathBuf, #[source] io::Error),
    /// Somebody else listens there.
    #[error("the control socket {socket} belongs to uid {uid}, which is neither this user nor root", socket = .0.display(), uid = .1)]
    ForeignPeer(PathBuf, u32),
    /// The connection broke, or its bytes are not HTTP.
    #[error("the connection to the sandbox's keeper broke")]
    Broken(#[source] hyper::Error),
    /// No answer in time.
    #[error("the sandbox's keeper did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// An answer that this version does not understand.
    #[error("the sandbox's keeper gave an answer that this version does not understand: {0}")]
    Answer(String),
    /// The keeper refused.
    #[error("{}", .0.message)]
    Refused(Box<ErrorObject>),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(object) => Self::from(*object),
            ClientError::NotRunning => Self::from_error(Kind::Failed, "not_running", &error)
                .hint("start it with `cofferdam start NAME`"),
            ClientError::Silent(_) => Self::from_error(Kind::TimedOut, "keeper_silent", &error)
                .hint("`cofferdam stop NAME --force` ends a keeper that hangs"),
            ClientError::ForeignPeer(..) => Self::from_error(Kind::Failed, "foreign_peer", &error)
                .hint("do not use this socket; look who owns its directory"),
            _ => Self::from_error(Kind::Failed, "keeper_unreachable", &error)
                .hint("`cofferdam doctor` looks for what is wrong with this host"),
        }
    }
}

impl Client {
    /// The keeper that listens on `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where the machine stands.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn status(&self) -> Result<SandboxStatus, ClientError> {
        limited(ANSWER_LIMIT, self.ask(Method::GET, "/v1/status", Bytes::new())).await
    }

    /// Where the machine stands once it neither starts nor sets itself up.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn wait(&self) -> Result<SandboxStatus, ClientError> {
        self.ask(Method::GET, "/v1/wait", Bytes::new()).await
    }

    /// Where the machine stands once nobody works in it, or it is down.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn idle(&self) -> Result<SandboxStatus, ClientError> {
        self.ask(Method::GET, "/v1/idle", Bytes::new()).await
    }

    /// Waits until a keeper that listens now is gone, whether it says so or not.
    pub async fn gone(&self) {
        self.heard("/v1/end").await;
    }

    /// Waits until nobody works in the machine any more, or its keeper is gone.
    pub async fn left(&self) {
        self.heard("/v1/idle").await;
    }

    /// Waits for an answer that is an event. Where nobody listens, or an older keeper that cannot be asked, it never
    /// comes.
    async fn heard(&self, path: &'static str) {
        match self.ask::<SandboxStatus>(Method::GET, path, Bytes::new()).await {
            Ok(_) | Err(ClientError::Broken(_)) => {}
            Err(_) => std::future::pending().await,
        }
    }

    /// As [`Client::wait`], but also as soon as the set-up is behind its step `after`.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn progress(&self, after: u32) -> Result<SandboxStatus, ClientError> {
        self.ask(Method::POST, "/v1/progress", encode(&ProgressRequest { after })?).await
    }

    /// Takes the machine down; answers when it is.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn stop(&self, grace: Duration) -> Result<SandboxStatus, ClientError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let body = encode(&StopRequest { grace_ms })?;
        limited(grace.saturating_add(ANSWER_LIMIT), self.ask(Method::POST, "/v1/stop", body)).await
    }

    /// Kills the keeper: whoever made the control socket, which is what the kernel says of a listening one. Its launcher
    /// ends with it, and every other zone with the launcher.
    ///
    /// # Errors
    /// When nobody listens, or the process may not be killed.
    pub async fn kill(&self) -> Result<(), ClientError> {
        let failed = |error: io::Error| ClientError::Connect(self.socket.clone(), error);
        let stream = self.connect().await?;
        let keeper = stream.peer_cred().map_err(failed)?.pid().and_then(Pid::from_raw);
        let keeper = keeper.ok_or_else(|| failed(io::Error::other("the kernel names no process")))?;
        // The connection lives, so the process did when its number was asked for; a number that was given away since
        // would be another program's, and that never listens here.
        let handle = pidfd_open(keeper, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
        let still = self.connect().await?.peer_cred().map_err(failed)?.pid().and_then(Pid::from_raw);
        if still != Some(keeper) {
            return Err(ClientError::NotRunning);
        }
        pidfd_send_signal(&handle, Signal::KILL).map_err(|error| failed(error.into()))
    }

    /// Puts the policy as it now stands in the state directory into force.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn reload_policy(&self) -> Result<Reloaded, ClientError> {
        limited(ANSWER_LIMIT, self.ask(Method::POST, "/v1/policy/reload", Bytes::new())).await
    }

    /// Publishes the ports as they now stand in the state directory.
    ///
    /// # Errors
    /// As in [`ClientError`]; refused where a port cannot be had.
    pub async fn reload_ports(&self) -> Result<SandboxStatus, ClientError> {
        limited(ANSWER_LIMIT, self.ask(Method::POST, "/v1/ports/reload", Bytes::new())).await
    }

    /// Opens a stream to the guest's exec server, on which the guest answers `request`.
    ///
    /// # Errors
    /// As in [`ClientError`].
    pub async fn exec(&self, kind: SessionKind, request: &ExecRequest) -> Result<ExecStream, ClientError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/exec")
            .header(header::HOST, "keeper")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, EXEC_PROTOCOL)
            .header(SESSION_HEADER, kind.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(encode(request)?))
            .expect("constant parts make a valid request");
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        let protocol = response.headers().get(header::UPGRADE);
        if protocol.is_none_or(|name| name != EXEC_PROTOCOL) {
            return Err(ClientError::Answer("an upgrade to another protocol".to_owned()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(ClientError::Broken)?;
        let parts = upgraded.downcast::<TokioIo<UnixStream>>();
        let parts = parts.expect("the connection was made from exactly this type");
        Ok(ExecStream { stream: parts.io.into_inner(), early: parts.read_buf })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "keeper")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("constant parts make a valid request");
        let response = self.send(request).await?;
        if response.status().is_success() { read(response).await } else { Err(refusal(response).await) }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        // Ends with the response's body, or when the upgraded stream is taken over.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(ClientError::Broken)
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
            _ => ClientError::Connect(self.socket.clone(), error),
        })?;
        let peer = stream.peer_cred().map_err(|error| ClientError::Connect(self.socket.clone(), error))?;
        if is_trusted(peer.uid(), rustix::process::geteuid().as_raw()) {
            Ok(stream)
        } else {
            Err(ClientError::ForeignPeer(self.socket.clone(), peer.uid()))
        }
    }
}

/// Runs one conversation with a keeper to its end.
///
/// # Errors
/// What the conversation ends with, or that the kernel has no descriptor left for it.
pub fn block_on<T>(conversation: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(conversation)
}

/// An event loop for conversations.
///
/// # Errors
/// When the kernel has no descriptor left for it.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| {
        Failure::new(Kind::Failed, "no_runtime", "the kernel refuses an event queue").caused_by(&error)
    })
}

/// A socket of root or of this user; anyone else's is a trap laid in a shared directory.
const fn is_trusted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn limited<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, answer).await.unwrap_or(Err(ClientError::Silent(limit)))
}

fn encode<T: Serialize>(body: &T) -> Result<Bytes, ClientError> {
    let body = serde_json::to_vec(body).map_err(|error| ClientError::Answer(error.to_string()))?;
    Ok(Bytes::from(body))
}

async fn bytes(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    Ok(body.map_err(|error| ClientError::Answer(error.to_string()))?.to_bytes())
}

async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    serde_json::from_slice(&bytes(response).await?).map_err(|error| ClientError::Answer(error.to_string()))
}

async fn refusal(response: Response<Incoming>) -> ClientError {
    let status = response.status();
    match read::<ErrorObject>(response).await {
        Ok(object) => ClientError::Refused(Box::new(object)),
        Err(_) => ClientError::Answer(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests;
