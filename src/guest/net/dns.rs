//! The resolver: hears UDP port 53 on every address and asks the host, over one stream for all questions.
//!
//! Nothing is cached and nothing is invented. A question keeps its place for five seconds, also across a host
//! that restarts: it is asked again on the next stream. Then the asker is told that there is no answer. Questions
//! by TCP do not come here: the relay passes them through.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until, timeout},
};

use super::{DNS_PORT, RESOLVER, dns_message as message};
use crate::{
    stream::{Host, Stream},
    sys::{awaited, udp},
    wire::{StreamHeader, StreamKind, port},
};

/// Questions that wait for an answer at a time; more are dropped, and the asker asks again.
const PENDING_MAX: usize = 512;
/// How long one waits.
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(5) };
/// Between attempts to reach the host.
const REDIAL: Duration = Duration::from_millis(100);
/// How long the host may take to accept a question before the stream counts as dead.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);

/// A socket on port 53 of every address of one family.
///
/// # Errors
/// When the port is taken.
pub fn socket(v6: bool) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    udp::want_destination(&socket, v6)?;
    if v6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
        bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, DNS_PORT)))?;
    } else {
        bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, DNS_PORT)))?;
    }
    Ok(socket)
}

/// Answers for ever.
///
/// # Errors
/// When a socket fails.
pub async fn serve(v4: OwnedFd, v6: OwnedFd, host: Host) -> io::Result<()> {
    let mut resolver = Resolver {
        v4: awaited(v4)?,
        v6: awaited(v6)?,
        host,
        link: None,
        redial_at: Instant::now(),
        pending: BTreeMap::new(),
        order: VecDeque::new(),
        last_id: 0,
    };
    loop {
        resolver.step().await?;
    }
}

/// Who asked what.
#[derive(Debug)]
struct Question {
    asker: SocketAddr,
    /// The address that was asked, and must answer.
    asked: IpAddr,
    /// As the asker sent it.
    query: Vec<u8>,
}

#[derive(Debug)]
struct Resolver {
    v4: AsyncFd<OwnedFd>,
    v6: AsyncFd<OwnedFd>,
    host: Host,
    link: Option<Link>,
    redial_at: Instant,
    /// By the id that the host sees.
    pending: BTreeMap<u16, Question>,
    /// Ids by age. One may have been answered since.
    order: VecDeque<(Instant, u16)>,
    last_id: u16,
}

/// What happened.
enum Event {
    Datagram(io::Result<(Vec<u8>, SocketAddr, IpAddr)>),
    Answer(io::Result<Vec<u8>>),
    Redial,
    Expiry,
}

impl Resolver {
    async fn step(&mut self) -> io::Result<()> {
        match self.next().await {
            Event::Datagram(Ok((query, asker, asked))) => {
                self.on_query(Question { asker, asked, query }).await;
            }
            // Too long, or an error about an earlier answer (its asker is gone): nothing to do.
            Event::Datagram(Err(error)) if is_harmless(&error) => {}
            Event::Datagram(Err(error)) => return Err(error),
            Event::Answer(Ok(answer)) => self.on_answer(answer),
            Event::Answer(Err(_)) => self.hang_up(),
            Event::Redial => self.redial().await,
            Event::Expiry => self.expire(),
        }
        Ok(())
    }

    async fn next(&mut self) -> Event {
        let (waiting, linked) = (!self.pending.is_empty(), self.link.is_some());
        let oldest = self.order.front().map(|(at, _)| *at + PATIENCE);
        let link = &mut self.link;
        let answer = async {
            match link {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = receive(&self.v4) => Event::Datagram(datagram),
            datagram = receive(&self.v6) => Event::Datagram(datagram),
            answer = answer => Event::Answer(answer),
            () = sleep_until(self.redial_at), if waiting && !linked => Event::Redial,
            () = sleep_until(oldest.unwrap_or(self.redial_at)), if oldest.is_some() => Event::Expiry,
        }
    }

    async fn on_query(&mut self, question: Question) {
        if !message::is_query(&question.query) || self.pending.len() >= PENDING_MAX {
            return;
        }
        // At most PENDING_MAX ids are taken, so a free one is near.
        let mut id = self.last_id.wrapping_add(1);
        while self.pending.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.last_id = id;
        self.pending.insert(id, question);
        self.order.push_back((Instant::now(), id));
        if self.link.is_some() {
            self.ask(id).await;
        } else if self.redial_at <= Instant::now() {
            self.redial().await;
        }
    }

    /// Sends a pending question to the host.
    async fn ask(&mut self, id: u16) {
        let (Some(link), Some(question)) = (&self.link, self.pending.get(&id)) else { return };
        let mut framed = (question.query.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&question.query);
        message::set_id(&mut framed[2..], id);
        if !matches!(timeout(WRITE_PATIENCE, link.stream.write_all(&framed)).await, Ok(Ok(()))) {
            self.hang_up();
        }
    }

    async fn redial(&mut self) {
        self.redial_at = Instant::now() + REDIAL;
        let destination = SocketAddr::from((RESOLVER, DNS_PORT));
        let header = StreamHeader { kind: StreamKind::Dns, destination }.encode();
        let Ok(stream) = self.host.dial(port::HOST_EGRESS).await else { return };
        if stream.write_all(&header).await.is_err() {
            return;
        }
        self.link = Some(Link { stream, received: Vec::new() });
        let waiting: Vec<u16> = self.pending.keys().copied().collect();
        for id in waiting {
            self.ask(id).await;
        }
    }

    fn hang_up(&mut self) {
        self.link = None;
        self.redial_at = Instant::now() + REDIAL;
    }

    fn on_answer(&mut self, mut answer: Vec<u8>) {
        let question = message::id(&answer).and_then(|id| self.pending.remove(&id));
        if let Some(question) = question.filter(|_| message::is_answer(&answer)) {
            let limit = message::datagram_limit(&question.query);
            message::set_id(&mut answer, message::id(&question.query).unwrap_or_default());
            self.reply(&question, &message::fitting(answer, limit));
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while self.order.front().is_some_and(|(at, _)| *at + PATIENCE <= now) {
            let Some((_, id)) = self.order.pop_front() else { return };
            // An id that was answered and given out again meanwhile has a younger entry, too; with 65,536 ids and
            // 512 places that needs more than 10,000 questions a second, and costs one of them its patience.
            if let Some(question) = self.pending.remove(&id) {
                self.reply(&question, &message::server_failure(&question.query));
            }
        }
    }

    fn reply(&self, question: &Question, answer: &[u8]) {
        let socket = if question.asker.is_ipv4() { &self.v4 } else { &self.v6 };
        // No room, or nobody there any more: as if the datagram were lost.
        let _ = udp::send_from(socket, answer, question.asker, question.asked);
    }
}

fn is_harmless(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, InvalidData, NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        InvalidData | ConnectionRefused | HostUnreachable | NetworkUnreachable | PermissionDenied
    )
}

async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<(Vec<u8>, SocketAddr, IpAddr)> {
    let mut buffer = [0; message::QUERY_MAX];
    let (length, asker, asked) =
        socket.async_io(Interest::READABLE, |fd| udp::receive(fd, &mut buffer)).await?;
    Ok((buffer[..length].to_vec(), asker, asked))
}

/// The stream to the host, with what has come of its next message: waiting may be abandoned at any time.
#[derive(Debug)]
struct Link {
    stream: Stream,
    received: Vec<u8>,
}

impl Link {
    /// The next message of the host.
    async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((length, rest)) = self.received.split_first_chunk()
                && let Some(answer) = rest.get(..usize::from(u16::from_be_bytes(*length)))
            {
                let answer = answer.to_vec();
                self.received.drain(..2 + answer.len());
                return Ok(answer);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.received.extend_from_slice(&buffer[..length]),
            }
        }
    }
}
