//! The keeper's side of egress' control stream: orders down, decisions up. What egress reports is recorded before it
//! is acknowledged.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    os::unix::net::UnixStream as StdUnixStream,
    rc::Rc,
};

use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, oneshot},
};

use super::{book::Book, frames};
use crate::model::api::{EgressOrder, EgressReport, EgressSetup, PolicyRevision};

/// Longest order, in bytes: a whole policy with the trusted roots.
pub(in crate::zones) const ORDER_MAX: usize = 8 * 1024 * 1024;
/// Longest report, in bytes.
pub(in crate::zones) const REPORT_MAX: usize = 256 * 1024;

/// Orders to egress, and what it answers.
pub(super) struct EgressLink {
    orders: Mutex<OwnedWriteHalf>,
    applied: RefCell<HashMap<u64, oneshot::Sender<u32>>>,
    book: Rc<Book>,
    ready: Cell<Option<oneshot::Sender<String>>>,
}

impl EgressLink {
    /// Sets egress up. Gives the link and the certificate of the sandbox's CA, once streams are judged.
    pub(super) async fn set_up(
        stream: StdUnixStream,
        setup: EgressSetup,
        book: Rc<Book>,
    ) -> io::Result<(Rc<Self>, String)> {
        stream.set_nonblocking(true)?;
        let (reports, orders) = UnixStream::from_std(stream)?.into_split();
        let (tell_ready, ready) = oneshot::channel();
        let link = Rc::new(Self {
            orders: Mutex::new(orders),
            applied: RefCell::default(),
            book,
            ready: Cell::new(Some(tell_ready)),
        });
        link.order(&EgressOrder::Setup(Box::new(setup))).await?;
        tokio::task::spawn_local(Rc::clone(&link).listen(reports));
        let ended = |_| io::Error::new(io::ErrorKind::BrokenPipe, "egress ended while it was set up");
        let ca_pem = ready.await.map_err(ended)?;
        Ok((link, ca_pem))
    }

    /// Puts a policy in force; gives how many connections were closed by it.
    pub(super) async fn apply(&self, policy: PolicyRevision) -> io::Result<u32> {
        let (tell, applied) = oneshot::channel();
        self.applied.borrow_mut().insert(policy.revision, tell);
        self.order(&EgressOrder::Policy(policy)).await?;
        applied
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "egress ended while it took the policy"))
    }

    async fn order(&self, order: &EgressOrder) -> io::Result<()> {
        frames::write(&mut *self.orders.lock().await, order, ORDER_MAX).await
    }

    /// Ends with egress, or with the first report that cannot be recorded: then egress hears no acknowledgement, and
    /// its end of the stream closes.
    async fn listen(self: Rc<Self>, mut reports: OwnedReadHalf) {
        let ended = loop {
            match frames::read::<EgressReport>(&mut reports, REPORT_MAX).await {
                Ok(Some(report)) => match self.take(report).await {
                    Ok(()) => {}
                    Err(error) => break Some(error),
                },
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = ended {
            self.book.complain(&format!("egress: {error}"));
        }
        self.applied.borrow_mut().clear();
        self.ready.take();
        // Half-closing is enough for egress to end, and the sandbox with it.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut *self.orders.lock().await).await;
    }

    async fn take(&self, report: EgressReport) -> io::Result<()> {
        match report {
            EgressReport::Ready { ca_pem } => {
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(ca_pem);
                }
            }
            EgressReport::Event { draft, ticket } => {
                self.book.record_event(*draft)?;
                if let Some(ticket) = ticket {
                    self.order(&EgressOrder::Recorded { ticket }).await?;
                }
            }
            EgressReport::Bind { ticket, name, address } => {
                self.book.bind(name, address)?;
                self.order(&EgressOrder::Bound { ticket }).await?;
            }
            EgressReport::PolicyApplied { revision, closed } => {
                if let Some(waiting) = self.applied.borrow_mut().remove(&revision) {
                    let _ = waiting.send(closed);
                }
            }
        }
        Ok(())
    }
}
