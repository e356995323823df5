//! Open connections, so that a new policy reaches them: each states what it was allowed for, and ends when that is
//! no longer allowed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{
    model::rule::{Protocol, Target},
    policy::{Http, Request},
};

use super::{
    audit::{Attempt, deny},
    limits::CLOSE_TIME,
    shared::Shared,
};

/// What a connection was allowed for.
#[derive(Debug, Clone)]
pub(crate) struct Allowed {
    /// Whom it reaches.
    pub target: Target,
    /// On which port.
    pub port: u16,
    /// Speaking what.
    pub protocol: Protocol,
    /// Method and canonical path of the request in flight.
    pub http: Option<(String, Option<String>)>,
}

impl Allowed {
    /// As the engine sees it.
    pub fn request(&self) -> Request<'_> {
        let http = self.http.as_ref().map(|(method, path)| Http { method, path: path.as_deref() });
        Request { target: &self.target, port: self.port, protocol: self.protocol, http }
    }
}

/// The connections.
#[derive(Default)]
pub(crate) struct Open {
    entries: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    gone: Notify,
}

/// One connection.
#[derive(Default)]
pub(crate) struct Entry {
    allowed: Mutex<Option<Allowed>>,
    /// Told when it must end.
    pub end: Notify,
}

impl Entry {
    /// States what it is allowed for from now on; `None`: nothing passes on it.
    pub fn set(&self, allowed: Option<Allowed>) {
        *self.allowed.lock().unwrap_or_else(PoisonError::into_inner) = allowed;
    }

    fn allowed(&self) -> Option<Allowed> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A connection's place among the open ones, given up when it is dropped.
pub(crate) struct Place {
    open: Arc<Open>,
    id: u64,
    /// The connection.
    pub entry: Arc<Entry>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
        self.open.gone.notify_waiters();
    }
}

impl Open {
    /// Takes a connection in.
    pub fn enter(self: &Arc<Self>) -> Place {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry::default());
        self.lock().insert(id, entry.clone());
        Place { open: self.clone(), id, entry }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for(&self, ids: &[u64]) {
        loop {
            let gone = self.gone.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            if !ids.iter().any(|id| self.lock().contains_key(id)) {
                return;
            }
            gone.await;
        }
    }
}

/// Ends what the policy in force forbids, and answers how many that were once they are gone.
pub(crate) async fn judge_again(shared: &Shared) -> u32 {
    let entries: Vec<(u64, Arc<Entry>)> =
        shared.open.lock().iter().map(|(id, entry)| (*id, entry.clone())).collect();
    let mut ended = Vec::new();
    for (id, entry) in entries {
        let Some(allowed) = entry.allowed() else { continue };
        let request = allowed.request();
        let decision = shared.decide(&request);
        if decision.allowed() {
            continue;
        }
        entry.end.notify_one();
        ended.push(id);
        let resource = crate::policy::explain::resource(&request);
        let attempt = Attempt::new("net.connect", resource).with("protocol", allowed.protocol);
        let rule = decision.rule().cloned();
        if shared.control.event(deny(&attempt, "policy_reload", rule.as_deref())).await.is_err() {
            break;
        }
    }
    // What does not end in time holds no permit any more: its task is told, and the count says so all the same.
    let _late = tokio::time::timeout(CLOSE_TIME, shared.open.wait_for(&ended)).await;
    u32::try_from(ended.len()).unwrap_or(u32::MAX)
}
