//! The keeper of a test: it keeps what it is told and acknowledges.

use std::{
    os::unix::net::UnixStream as StdStream,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{Notify, mpsc},
};

use crate::{
    model::{
        api::{EgressOrder, EgressReport},
        event::Draft,
    },
    wire::frame,
};

/// What it has heard.
#[derive(Default)]
pub struct Keeper {
    pub events: Mutex<Vec<Draft>>,
    pub binds: Mutex<Vec<String>>,
    pub applied: Mutex<Option<(u64, u32)>>,
    pub news: Notify,
}

/// Starts a keeper on its end of the channel; `unrecorded`: it never acknowledges a record.
pub fn keep(control: StdStream, unrecorded: bool) -> (mpsc::UnboundedSender<EgressOrder>, Arc<Keeper>) {
    control.set_nonblocking(true).unwrap();
    let (mut up, mut down) = UnixStream::from_std(control).unwrap().into_split();
    let (orders, mut queue) = mpsc::unbounded_channel::<EgressOrder>();
    let keeper = Arc::new(Keeper::default());
    tokio::spawn(async move {
        while let Some(order) = queue.recv().await {
            if down.write_all(&frame::encode(&order, 8 << 20).unwrap()).await.is_err() {
                return;
            }
        }
    });
    let (own, answers) = (keeper.clone(), orders.clone());
    tokio::spawn(async move {
        loop {
            let mut header = [0; 4];
            if up.read_exact(&mut header).await.is_err() {
                return;
            }
            let mut body = vec![0; frame::body_length(header, 256 << 10).unwrap()];
            up.read_exact(&mut body).await.unwrap();
            match frame::decode(&body).unwrap() {
                EgressReport::Ready { .. } => {}
                EgressReport::Event { draft, ticket } => {
                    own.events.lock().unwrap().push(*draft);
                    if let (Some(ticket), false) = (ticket, unrecorded) {
                        answers.send(EgressOrder::Recorded { ticket }).unwrap();
                    }
                }
                EgressReport::Bind { ticket, name, .. } => {
                    own.binds.lock().unwrap().push(name);
                    answers.send(EgressOrder::Bound { ticket }).unwrap();
                }
                EgressReport::PolicyApplied { revision, closed } => {
                    *own.applied.lock().unwrap() = Some((revision, closed));
                }
            }
            own.news.notify_waiters();
        }
    });
    (orders, keeper)
}
