//! Where sandboxes stand: what their keepers say, what those noted last, and what of it is true in the words of
//! `KIT.md`, section 3.

use std::{error::Error, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::Host;
use crate::{
    cli::{
        client::{self, Client, ClientError},
        failure::{Failure, Kind},
    },
    model::{
        progress::Obstacle,
        session::TaskState,
        status::{Condition, Phase, SandboxStatus, SetupState},
    },
    store::{Record, StoreError},
};

/// Keepers that are asked at the same time: each takes a descriptor.
const ASKED_AT_ONCE: usize = 64;

impl Host {
    /// Where a sandbox stands: asked of its keeper, else what that noted last.
    pub(super) fn status_of(&self, record: &Record) -> Result<SandboxStatus, Failure> {
        let mut statuses = self.statuses_of(std::slice::from_ref(record))?;
        Ok(statuses.remove(0))
    }

    /// Where sandboxes stand, in their order. All keepers are asked at once: those that hang cost one time limit.
    pub(super) fn statuses_of(&self, records: &[Record]) -> Result<Vec<SandboxStatus>, Failure> {
        let sockets = records.iter().map(|record| self.socket(&record.id)).collect::<Result<Vec<_>, _>>()?;
        let answers = client::block_on(ask_all(sockets))?;
        let status = |(record, answer): (&Record, Result<SandboxStatus, ClientError>)| {
            let mut status = match answer {
                Ok(status) => status,
                Err(ClientError::NotRunning) => self.last_status(record),
                Err(error) => self.noted_status(record, &error),
            };
            // One repository's damaged file is no reason to say nothing of the others' sandboxes.
            let known = self.store.approvals(&record.owner);
            let definition = known.as_ref().ok().and_then(|it| it.definitions.get(record.name.as_str()));
            status.conditions = conditions(record, &status, definition.map_or(0, |it| it.parked.len()));
            status.conditions.extend(known.err().map(|error| damaged(&error)));
            status
        };
        Ok(records.iter().zip(answers).map(status).collect())
    }

    /// What a keeper noted last that lives and does not answer.
    fn noted_status(&self, record: &Record, error: &ClientError) -> SandboxStatus {
        let noted = self.store.sandbox(&record.id).read_status().ok().flatten();
        let mut status = noted.unwrap_or_else(|| record.status(Phase::Starting));
        status.sessions.clear();
        status.silent = true;
        status.reason = Some(format!("its keeper does not answer: {error}"));
        status
    }

    /// What a keeper noted last. One that was killed could not note its end.
    pub(super) fn last_status(&self, record: &Record) -> SandboxStatus {
        let dir = self.store.sandbox(&record.id);
        let mut status = match dir.read_status() {
            Ok(Some(status)) => status,
            Ok(None) => record.status(Phase::Stopped),
            // The next start writes it anew.
            Err(error) => {
                let mut status = record.status(Phase::Failed);
                status.reason = Some(format!("what its keeper noted last cannot be read: {}", told(&error)));
                status
            }
        };
        if !matches!(status.phase, Phase::Stopped | Phase::Failed) {
            status.phase = Phase::Failed;
            status.reason = Some("its keeper was killed; start it again".to_owned());
        }
        // Nobody listens, and nothing is set up any more.
        status.ports.clear();
        status.interrupt(&Timestamp::now().to_string());
        status.setup = status.setup.take().filter(|setup| setup.state == SetupState::Failed);
        status
    }
}

/// That a file of the state directory which concerns a sandbox cannot be read.
pub(super) fn damaged(error: &StoreError) -> Condition {
    Condition {
        condition: "Stalled".to_owned(),
        reason: Some("Damaged".to_owned()),
        message: Some(told(error)),
    }
}

/// An error of the state directory with its cause.
pub(super) fn told(error: &StoreError) -> String {
    let cause = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
    format!("{error}{cause}")
}

/// The answers of keepers, in the order of their sockets.
async fn ask_all(sockets: Vec<PathBuf>) -> Result<Vec<Result<SandboxStatus, ClientError>>, Failure> {
    let turns = Arc::new(Semaphore::new(ASKED_AT_ONCE));
    let ask = |socket: PathBuf| {
        let turns = Arc::clone(&turns);
        tokio::spawn(async move {
            let _turn = turns.acquire().await;
            Client::new(socket).status().await
        })
    };
    let mut answers = Vec::with_capacity(sockets.len());
    for asked in sockets.into_iter().map(ask).collect::<Vec<_>>() {
        answers.push(asked.await.map_err(|error| {
            Failure::new(Kind::Failed, "keeper_unreachable", "a question to a keeper broke off")
                .caused_by(&error)
        })?);
    }
    Ok(answers)
}

/// What is true of a sandbox for which this many grants wait.
fn conditions(record: &Record, status: &SandboxStatus, waiting: usize) -> Vec<Condition> {
    let name = &record.name;
    let mut conditions = Vec::new();
    let mut add = |condition: &str, reason: Option<&str>, message: Option<String>| {
        let (condition, reason) = (condition.to_owned(), reason.map(str::to_owned));
        conditions.push(Condition { condition, reason, message });
    };
    let suspended = record.suspended_since.is_some();
    let waited = record.obstructed.as_ref().is_some_and(|it| it.by == Obstacle::Busy);
    let setting_up = status.setup.as_ref().is_some_and(|setup| setup.state == SetupState::Running);
    let running = status.phase == Phase::Running && !status.silent;
    if running && !setting_up && status.failed_setup().is_none() && record.unfinished.is_none() {
        add("Ready", None, None);
    }
    if matches!(status.phase, Phase::Starting | Phase::Stopping) || (running && setting_up) {
        add("Reconciling", None, None);
    } else if let (Some(left), true) = (record.unfinished, waited || record.obstructed.is_none()) {
        let message = format!("still to be done: {left}; cofferdam apply goes on");
        add("Reconciling", Some("Interrupted"), Some(message));
    }
    if let (true, Some(failed)) = (running, status.failed_setup()) {
        let step = failed.step.as_deref().unwrap_or("a step");
        add("Stalled", Some("SetupFailed"), Some(format!("{step} failed: cofferdam logs {name} --setup")));
    }
    if waited && (suspended || (status.sessions.is_empty() && !status.silent)) {
        if !suspended {
            let message = "nobody works in it any more; cofferdam apply goes on".to_owned();
            add("Reconciling", Some("Interrupted"), Some(message));
        }
    } else if let Some(obstructed) = &record.obstructed {
        add("Stalled", Some(&obstructed.by.to_string()), Some(obstructed.message.clone()));
    } else if status.silent {
        add("Stalled", Some("Failed"), None);
    } else if status.phase == Phase::Failed {
        add("Stalled", Some("Failed"), Some(format!("cofferdam logs {name}")));
    }
    if let Some(since) = &record.orphaned_since {
        let message = format!(
            "its document is gone since {since}; its disks are kept, `cofferdam apply --prune` or `cofferdam rm {name}` removes them"
        );
        add("Stalled", Some("Orphaned"), Some(message));
    }
    if waiting > 0 {
        let grants = if waiting == 1 { "1 grant waits".to_owned() } else { format!("{waiting} grants wait") };
        add("PendingApproval", None, Some(format!("{grants}: cofferdam pending {name}")));
    }
    if suspended {
        let message = format!("cofferdam resume {name} puts it back under its files");
        add("Suspended", None, Some(message));
    }
    if let Some(task) = &status.task {
        match (task.state, task.exit_code) {
            (TaskState::Running, _) => add("TaskRunning", None, Some(format!("since {}", task.since))),
            (TaskState::Succeeded, _) => add("TaskSucceeded", None, None),
            (TaskState::Failed, Some(code)) => {
                add("TaskFailed", None, Some(format!("it ended with exit code {code}")));
            }
            (TaskState::Failed, None) => add("TaskFailed", None, Some("it was cut short".to_owned())),
        }
    }
    conditions
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
