//! The control API: HTTP over a unix socket, for this user's commands (and root's), told by peer credentials.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | the status |
//! | `GET /v1/wait` | the status, once the sandbox neither starts nor sets itself up |
//! | `GET /v1/idle` | the status, once no session is open or the sandbox is down |
//! | `GET /v1/end` | the status, once the sandbox is down |
//! | `POST /v1/progress` `{"after"}` | the same, or as soon as its set-up is behind that step |
//! | `POST /v1/stop` `{"grace_ms"}` | the status, once it is down |
//! | `POST /v1/policy/reload` | `{"revision","hash","closed"}`, once the policy is in force |
//! | `POST /v1/ports/reload` | the status, once the ports are published |
//! | `POST /v1/exec` with `Upgrade: cofferdam-exec`, `Cofferdam-Session: KIND` (else `exec`) | once set-up is over: 101, then the exec stream of `wire::exec`, reply first |

use std::{convert::Infallible, io, rc::Rc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};

use super::{Keeper, frames, relay::relay, sessions::Session};
use crate::{
    lifecycle,
    model::{
        api::{ProgressRequest, StopRequest},
        session::SESSION_HEADER,
        status::{Phase, SandboxStatus},
    },
    wire::{self, ExecRequest, frame::HOST_FRAME_MAX, port},
};

/// Longest body of a request, in bytes.
const BODY_MAX: usize = HOST_FRAME_MAX;
/// Longest grace that a stop may ask for.
const GRACE_MAX: Duration = Duration::from_secs(600);

type Answer = Response<Full<Bytes>>;

/// Accepts commands until the keeper ends.
pub(super) async fn serve(listener: UnixListener, keeper: Rc<Keeper>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors for the moment: let others run first.
            tokio::task::yield_now().await;
            continue;
        };
        if peer_is_allowed(&stream) {
            tokio::task::spawn_local(connection(stream, Rc::clone(&keeper)));
        }
    }
}

fn peer_is_allowed(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == us || peer.uid() == 0)
}

async fn connection(stream: UnixStream, keeper: Rc<Keeper>) {
    keeper.answering.send_modify(|count| *count += 1);
    let answering = Rc::clone(&keeper);
    let service = service_fn(move |request| {
        let keeper = Rc::clone(&keeper);
        async move { Ok::<_, Infallible>(answer(request, keeper).await.unwrap_or_else(|refusal| refusal)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    // A command that went away is no event of ours.
    drop(served);
    answering.answering.send_modify(|count| *count -= 1);
}

async fn answer(request: Request<Incoming>, keeper: Rc<Keeper>) -> Result<Answer, Answer> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/status") => Ok(ok(&keeper.status())),
        (&Method::GET, "/v1/wait") => {
            keeper.wait_for(SandboxStatus::is_settled).await;
            Ok(ok(&keeper.status()))
        }
        (&Method::GET, "/v1/idle") => {
            keeper.wait_for(|status| status.sessions.is_empty()).await;
            Ok(ok(&keeper.status()))
        }
        (&Method::GET, "/v1/end") => {
            keeper.wait_for(|status| matches!(status.phase, Phase::Stopped | Phase::Failed)).await;
            Ok(ok(&keeper.status()))
        }
        (&Method::POST, "/v1/progress") => {
            let ProgressRequest { after } = body(request).await?;
            let further = |status: &SandboxStatus| status.setup.as_ref().is_some_and(|it| it.index > after);
            keeper.wait_for(|status| status.is_settled() || further(status)).await;
            Ok(ok(&keeper.status()))
        }
        (&Method::POST, "/v1/stop") => {
            let stop: StopRequest = body(request).await?;
            keeper.grace.set(Duration::from_millis(stop.grace_ms).min(GRACE_MAX));
            keeper.happened(lifecycle::Event::StopAsked);
            keeper.wait_for(|status| matches!(status.phase, Phase::Stopped | Phase::Failed)).await;
            Ok(ok(&keeper.status()))
        }
        (&Method::POST, "/v1/policy/reload") => match keeper.reload_policy().await {
            Ok((policy, closed)) => {
                Ok(ok(&json!({"revision": policy.revision, "hash": policy.hash, "closed": closed})))
            }
            Err(error) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, "policy", &error.to_string())),
        },
        (&Method::POST, "/v1/ports/reload") => match keeper.reload_ports() {
            Ok(()) => Ok(ok(&keeper.status())),
            Err(error) => {
                let message = error.to_string();
                Err(respond(
                    StatusCode::CONFLICT,
                    json!({"code": "port", "kind": "failed", "message": message}).to_string().into_bytes(),
                ))
            }
        },
        (&Method::POST, "/v1/exec") => exec(request, keeper).await,
        _ => Err(refuse(
            StatusCode::NOT_FOUND,
            "version",
            "this keeper does not know the request; it may be of another version: stop and start the sandbox",
        )),
    }
}

async fn exec(mut request: Request<Incoming>, keeper: Rc<Keeper>) -> Result<Answer, Answer> {
    let upgrade = hyper::upgrade::on(&mut request);
    let kind = request.headers().get(SESSION_HEADER).and_then(|word| word.to_str().ok()?.parse().ok());
    let mut asked: ExecRequest = body(request).await?;
    asked.version = wire::VERSION;
    // What set-up steps may reach is none of a session's business.
    keeper.wait_for(SandboxStatus::is_settled).await;
    if keeper.status().phase != Phase::Running {
        return Err(refuse(StatusCode::CONFLICT, "not_running", "the sandbox does not run"));
    }
    let failed = |error: io::Error| {
        refuse(StatusCode::BAD_GATEWAY, "guest", &format!("the guest does not answer: {error}"))
    };
    // Before the guest is asked: what it may do is busy already.
    let program = asked.argv.first().map_or("", String::as_str);
    let mut session = Session::begin(Rc::clone(&keeper), kind.unwrap_or_default(), program);
    let mut guest = keeper.guest.dial(port::GUEST_EXEC).await.map_err(failed)?;
    frames::write(&mut guest, &asked, HOST_FRAME_MAX).await.map_err(failed)?;
    tokio::task::spawn_local(async move {
        if let Ok(client) = upgrade.await {
            relay(TokioIo::new(client), guest, |bytes| session.overheard.hear(bytes)).await;
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "cofferdam-exec")
        .body(Full::default())
        .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()))
}

async fn body<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, Answer> {
    let bad = |message: String| refuse(StatusCode::BAD_REQUEST, "usage", &message);
    let bytes = Limited::new(request.into_body(), BODY_MAX)
        .collect()
        .await
        .map_err(|error| bad(error.to_string()))?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| bad(error.to_string()))
}

fn ok(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(json) => respond(StatusCode::OK, json),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
    }
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Answer {
    respond(status, json!({"code": 1, "kind": kind, "message": message}).to_string().into_bytes())
}

fn respond(status: StatusCode, json: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(json)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
