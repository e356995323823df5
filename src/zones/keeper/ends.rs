//! Rules and approvals end while the sandbox runs: at that moment they are taken out of the policy in force, and the
//! connections that only they permitted are closed. One timer for the next end, on the wall clock: a host that sleeps
//! through it, or whose clock is set, is no longer late than it takes to wake.

use std::{io, rc::Rc, time::Duration};

use jiff::Timestamp;

use super::{Keeper, clock};
use crate::{model::api::PolicyRevision, policy::layers};

/// How long to wait at most where the kernel gives no timer on the wall clock.
const BLIND: Duration = Duration::from_secs(60);

/// Ends what ends, for as long as the sandbox runs.
pub(super) async fn keep(keeper: Rc<Keeper>) {
    loop {
        let next = layers::next_end(&keeper.policy.borrow());
        let changed = keeper.policy_changed.notified();
        match next {
            None => changed.await,
            Some(end) => tokio::select! {
                () = changed => {}
                () = reached(end.moment()) => {}
            },
        }
        if let Err(error) = keeper.end_rules(Timestamp::now()).await {
            // Egress is gone, and the sandbox goes with it.
            keeper.book.complain(&format!("what has ended could not be withdrawn: {error}"));
            return;
        }
    }
}

/// Waits for the moment, or a step of the clock.
async fn reached(moment: Timestamp) {
    if clock::reach(moment.as_second()).await.is_err() {
        let left = Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::time::sleep(left.min(BLIND)).await;
    }
}

impl Keeper {
    /// Takes what has ended by `now` out of the policy in force. Reads no file: one that cannot be read keeps nothing
    /// alive.
    pub(super) async fn end_rules(&self, now: Timestamp) -> io::Result<()> {
        let before = self.policy.borrow().clone();
        let policy = layers::at(before.clone(), now);
        if policy == before {
            return Ok(());
        }
        let revision = before.revision + 1;
        self.enforce(PolicyRevision { revision, ..policy }).await?;
        for rule in before.rules.iter().filter(|rule| rule.until.is_some_and(|until| until.is_over(now))) {
            self.book.note_ended(rule);
        }
        Ok(())
    }
}
