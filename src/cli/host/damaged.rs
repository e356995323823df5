//! Sandboxes whose record cannot be read. Their machines may run: they are shown as far as their keepers know them, keep
//! their names from being given again, and can be ended by their ids.

use jiff::Timestamp;
use serde_json::{Map, json};

use super::{
    Host,
    machines::{remove_failure, state_failure},
    status::{damaged, told},
};
use crate::{
    audit::verify,
    cli::{
        client::{self, Client},
        failure::{Failure, Kind},
        output,
    },
    model::{
        desired::Sandbox,
        event::{Decision, Draft},
        name::SandboxId,
        status::{Condition, Phase, SandboxStatus},
    },
    store::Unreadable,
};

impl Host {
    /// The one that is called so: by its id, or by the name that its keeper noted.
    pub(super) fn unreadable_of(&self, reference: &str) -> Option<Unreadable> {
        let unreadable = self.store.list().ok()?.unreadable;
        let called = |it: &Unreadable| {
            it.id.as_str() == reference || it.name.as_ref().is_some_and(|n| n.as_str() == reference)
        };
        unreadable.into_iter().find(called)
    }

    /// Says once that records cannot be read: no rule and no plan reaches these sandboxes.
    pub(super) fn warn_of(&self, unreadable: &[Unreadable]) {
        if self.warned.replace(!unreadable.is_empty() || self.warned.get()) {
            return;
        }
        for it in unreadable {
            output::warn(&format!("warning: sandbox {}: {}", it.id, words(it)));
        }
    }

    /// Refuses work on definitions whose sandboxes may be there and cannot be read.
    pub(super) fn refuse_hidden(&self, desired: &[Sandbox]) -> Result<(), Failure> {
        let unreadable = self.store.list().map_err(state_failure)?.unreadable;
        let hidden = |wanted: &Sandbox| unreadable.iter().find(|it| it.may_be(wanted.name.as_str()));
        desired.iter().find_map(hidden).map_or(Ok(()), |it| Err(refusal(it)))
    }

    /// Where those stand whose records cannot be read: asked of their keepers, else what these noted last.
    pub(super) fn unreadable_statuses(&self) -> Result<Vec<SandboxStatus>, Failure> {
        let unreadable = self.store.list().map_err(state_failure)?.unreadable;
        unreadable.iter().map(|it| self.unreadable_status(it)).collect()
    }

    fn unreadable_status(&self, it: &Unreadable) -> Result<SandboxStatus, Failure> {
        let client = Client::new(self.socket(&it.id)?);
        let noted = || {
            let mut status =
                self.store.sandbox(&it.id).read_status().ok().flatten().unwrap_or_else(|| unknown(it));
            status.phase = Phase::Failed;
            status.ports.clear();
            status.sessions.clear();
            status
        };
        let answer = client::block_on(async { Ok(client.status().await) })?;
        let mut status = answer.unwrap_or_else(|_| noted());
        status.conditions = vec![Condition { message: Some(words(it)), ..damaged(&it.error) }];
        Ok(status)
    }

    /// Ends the machine of a sandbox whose record cannot be read, and with `remove` deletes it. One that is
    /// gone is no error.
    pub(super) fn end_unreadable(&self, id: &str, remove: bool) -> Result<(), Failure> {
        let unreadable = self.store.list().map_err(state_failure)?.unreadable;
        let Some(it) = unreadable.into_iter().find(|it| it.id.as_str() == id) else { return Ok(()) };
        self.end_by_force(&it.id, id)?;
        if remove {
            self.remove_unreadable(&it.id)?;
        }
        Ok(())
    }

    /// Whose it was is not known, so what was typed for it stays with its owner until that plans again.
    fn remove_unreadable(&self, id: &SandboxId) -> Result<(), Failure> {
        let dir = self.store.sandbox(id);
        let head = verify::directory(&dir.audit(), None).map(|report| report.head).ok();
        dir.remove_sockets().map_err(state_failure)?;
        self.store.remove(id).map_err(remove_failure)?;
        let draft = Draft {
            time: Timestamp::now().to_string(),
            action: "sandbox.remove".to_owned(),
            resource: id.to_string(),
            decision: Decision::Allow,
            rule: None,
            reason: "damaged".to_owned(),
            detail: Map::from_iter([("id".to_owned(), json!(id)), ("trail_head".to_owned(), json!(head))]),
        };
        self.note(draft, None)
    }
}

/// Why nothing is done with a sandbox.
pub(super) fn refusal(it: &Unreadable) -> Failure {
    let failure = Failure::from_error(Kind::Failed, "state", &it.error);
    failure
        .hint(format!("`cofferdam stop {0}` ends its machine, `cofferdam rm {0} --force` removes it", it.id))
}

fn words(it: &Unreadable) -> String {
    let (error, id) = (told(&it.error), &it.id);
    format!("{error}; `cofferdam stop {id}` ends its machine, `cofferdam rm {id} --force` removes it")
}

/// Nothing but the id is known.
fn unknown(it: &Unreadable) -> SandboxStatus {
    let name = it.name.as_ref().map_or_else(|| it.id.to_string(), ToString::to_string);
    SandboxStatus::new(name, it.id.to_string(), Phase::Failed)
}

#[cfg(test)]
#[path = "damaged_tests.rs"]
mod tests;
