//! Taking a sandbox out of reconciling, and waiting until something is true of one.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Map;

use super::{Host, machines::state_failure};
use crate::{
    cli::{
        client::{self, Client},
        failure::{Failure, Kind},
        ops::Found,
    },
    model::{
        event::{Decision, Draft},
        status::SandboxStatus,
    },
    sys::changes::Changes,
};

impl Host {
    /// Files and approvals change nothing of a suspended sandbox any more; commands that name it do.
    pub(super) fn set_suspended(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure> {
        let record = self.record_of(sandbox)?;
        let now = Timestamp::now().to_string();
        let changed =
            self.store.suspend(&record.id, suspended.then_some(now.as_str())).map_err(state_failure)?;
        if changed.suspended_since != record.suspended_since {
            let word = if suspended { "suspend" } else { "resume" };
            let draft = Draft {
                time: now,
                action: format!("sandbox.{word}"),
                resource: record.name.to_string(),
                decision: Decision::Allow,
                rule: None,
                reason: word.to_owned(),
                detail: Map::new(),
            };
            self.note(draft, Some(&record.desired))?;
        }
        self.status_of(&changed)
    }

    /// Where a sandbox stands as soon as `reached` says so; none when that took longer than `limit`. Looks again
    /// whenever something of the sandbox changes.
    pub(super) fn status_when(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure> {
        let deadline = Instant::now().checked_add(limit);
        let record = self.record_of(sandbox)?;
        let (dir, answers) = (self.store.sandbox(&record.id), self.store.policy_folder());
        let watched = |error: std::io::Error| {
            Failure::new(Kind::Failed, "not_watched", "the kernel does not watch the sandbox's folder")
                .caused_by(&error)
        };
        let runtime = client::runtime()?;
        let changes = runtime.block_on(async { Changes::of(&[dir.path(), &answers]) }).map_err(watched)?;
        loop {
            let status = self.status_of(&self.record_of(sandbox)?)?;
            if reached(&status) {
                return Ok(Some(status));
            }
            let client = Client::new(self.socket(&record.id)?);
            let next = async {
                tokio::select! {
                    changed = changes.next() => changed.map(|()| true),
                    // One that is killed writes nothing.
                    () = client.gone() => Ok(true),
                    () = client.left(), if !status.sessions.is_empty() => Ok(true),
                    () = until(deadline) => Ok(false),
                }
            };
            if !runtime.block_on(next).map_err(watched)? {
                return Ok(None);
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
