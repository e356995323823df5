//! The channel to the keeper: reports up, orders down, and the tickets that tie an order to what waits for it.
//!
//! Losing the keeper ends everything: whoever waits gets [`ControlLost`] and must not go on.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{mpsc, oneshot},
};

use crate::{
    model::{
        api::{EgressOrder, EgressReport},
        event::Draft,
    },
    wire::frame,
};

use super::EgressError;

/// Longest order: a policy of tens of thousands of rules, in bytes.
pub(crate) const ORDER_MAX: usize = 8 * 1024 * 1024;
/// Longest report, in bytes.
pub(crate) const REPORT_MAX: usize = 256 * 1024;
/// Reports that may wait for the keeper before those who report wait too.
const QUEUE: usize = 256;

/// The keeper is gone; nothing may pass any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keeper is gone, so nothing can be recorded")]
pub(crate) struct ControlLost;

/// Our end of the channel.
pub(crate) struct Control {
    reports: mpsc::Sender<EgressReport>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    next: AtomicU64,
}

impl Control {
    /// A channel, and the queue that [`write`](fn@write) empties.
    pub fn new() -> (Self, mpsc::Receiver<EgressReport>) {
        let (reports, queue) = mpsc::channel(QUEUE);
        (Self { reports, waiting: Mutex::default(), next: AtomicU64::new(1) }, queue)
    }

    /// Sends a report; waits while the keeper is behind.
    pub async fn report(&self, report: EgressReport) -> Result<(), ControlLost> {
        self.reports.send(report).await.map_err(|_| ControlLost)
    }

    /// Reports a decision.
    pub async fn event(&self, draft: Draft) -> Result<(), ControlLost> {
        self.report(EgressReport::Event { draft: Box::new(draft), ticket: None }).await
    }

    /// Reports a decision and waits until it is written outside this process.
    pub async fn record(&self, draft: Draft) -> Result<(), ControlLost> {
        let (ticket, answer) = self.ticket();
        self.report(EgressReport::Event { draft: Box::new(draft), ticket: Some(ticket) }).await?;
        answer.await.map_err(|_| ControlLost)
    }

    /// Reports a name's address and waits until the keeper has it.
    pub async fn bind(&self, name: &str, address: IpAddr) -> Result<(), ControlLost> {
        let (ticket, answer) = self.ticket();
        self.report(EgressReport::Bind { ticket, name: name.to_owned(), address }).await?;
        answer.await.map_err(|_| ControlLost)
    }

    /// The keeper has done what `ticket` waits for. An unknown ticket is of somebody who has gone since.
    pub fn acknowledge(&self, ticket: u64) {
        if let Some(answer) = self.lock().remove(&ticket) {
            let _gone = answer.send(());
        }
    }

    fn ticket(&self) -> (u64, oneshot::Receiver<()>) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, wait) = oneshot::channel();
        let mut waiting = self.lock();
        // Those whose stream has ended no longer wait.
        waiting.retain(|_, answer| !answer.is_closed());
        waiting.insert(ticket, answer);
        (ticket, wait)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes reports until nobody can report or the keeper is gone.
pub(crate) async fn write(mut stream: OwnedWriteHalf, mut queue: mpsc::Receiver<EgressReport>) {
    while let Some(report) = queue.recv().await {
        let Ok(bytes) = frame::encode(&report, REPORT_MAX) else {
            // Drafts are bounded far below; a report that is not must stop the process rather than vanish.
            return;
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Reads orders and passes them on; `None` in the queue's end means that the keeper closed.
pub(crate) async fn read(
    mut stream: OwnedReadHalf,
    orders: mpsc::Sender<EgressOrder>,
) -> Result<(), EgressError> {
    loop {
        let mut header = [0; 4];
        match stream.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(EgressError::Control(error)),
        }
        let length = frame::body_length(header, ORDER_MAX).map_err(EgressError::Control)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.map_err(EgressError::Control)?;
        let order = frame::decode(&body).map_err(EgressError::Control)?;
        if orders.send(order).await.is_err() {
            return Ok(());
        }
    }
}
