//! Conditions that can be waited for: those that a sandbox of this release can have (`KIT.md`, section 3), by name or by
//! the reason of one.

use std::str::FromStr;

use super::failure::{self, Failure, Kind};
use crate::model::{
    session::TaskState,
    status::{Phase, SandboxStatus},
};

/// Conditions, each followed by its reasons.
const WORDS: [&str; 18] = [
    "Ready",
    "Reconciling",
    "Interrupted",
    "Stalled",
    "Busy",
    "SecretMissing",
    "SetupFailed",
    "TemplateFailed",
    "HostLacks",
    "PolicyDenied",
    "Orphaned",
    "Failed",
    "Damaged",
    "PendingApproval",
    "Suspended",
    "TaskRunning",
    "TaskSucceeded",
    "TaskFailed",
];

/// What `--wait-for` names: a condition or a reason, or with `!` that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    word: &'static str,
    gone: bool,
}

impl FromStr for Awaited {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (gone, name) = written.strip_prefix('!').map_or((false, written), |name| (true, name));
        match WORDS.iter().find(|word| **word == name) {
            Some(word) => Ok(Self { word, gone }),
            None => {
                Err(format!("there is no such condition; there are {}, and ! before one", WORDS.join(", ")))
            }
        }
    }
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", if self.gone { "!" } else { "" }, self.word)
    }
}

impl Awaited {
    /// Whether it is so.
    #[must_use]
    pub fn holds(self, status: &SandboxStatus) -> bool {
        let has = status
            .conditions
            .iter()
            .any(|it| it.condition == self.word || it.reason.as_deref() == Some(self.word));
        has != self.gone
    }

    /// Why it will not come by itself, where that is known.
    #[must_use]
    pub fn hopeless(self, status: &SandboxStatus) -> Option<Failure> {
        let name = &status.name;
        match self.word {
            _ if self.gone => None,
            "Ready" if status.phase == Phase::Stopped => {
                let message = format!("{name} is stopped and does not start");
                Some(
                    Failure::new(Kind::Failed, "not_running", message)
                        .hint(format!("cofferdam start {name}")),
                )
            }
            "Ready" if status.phase == Phase::Failed => {
                let reason = status.reason.as_deref().unwrap_or("no reason is known");
                let message = format!("{name} is {}: {reason}", status.phase);
                Some(Failure::new(Kind::Failed, "not_ready", message).hint(format!("cofferdam logs {name}")))
            }
            "Ready" => failure::setup(status),
            "TaskSucceeded" if status.task.as_ref().is_some_and(|task| task.state == TaskState::Failed) => {
                Some(Failure::new(Kind::Failed, "task_failed", format!("the task of {name} failed")))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(phase: &str, conditions: &[(&str, Option<&str>)]) -> SandboxStatus {
        let condition = |(word, reason): &(&str, Option<&str>)| json!({"condition": word, "reason": reason});
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        serde_json::from_value(json!({
            "name": "dev", "id": "070707070707", "agent": "shell", "phase": phase, "conditions": conditions,
        }))
        .unwrap()
    }

    #[test]
    fn conditions_are_named_by_word_or_reason_and_may_be_awaited_to_go() {
        let busy = status("running", &[("Ready", None), ("Stalled", Some("Busy"))]);
        for (written, holds) in [
            ("Ready", true),
            ("!Ready", false),
            ("Stalled", true),
            ("Busy", true),
            ("!Busy", false),
            ("Suspended", false),
            ("!Suspended", true),
        ] {
            assert_eq!(written.parse::<Awaited>().unwrap().holds(&busy), holds, "{written}");
        }
        for wrong in ["", "!", "ready", "!!Ready", "Ready ", "ReviewPending", "nonsense"] {
            let error = wrong.parse::<Awaited>().unwrap_err();
            assert!(error.contains("Ready, Reconciling") && error.contains("TaskFailed"), "{error}");
        }
    }

    #[test]
    fn what_cannot_come_by_itself_is_not_waited_for() {
        let hopeless = |written: &str, status: &SandboxStatus| {
            written.parse::<Awaited>().unwrap().hopeless(status).map(|failure| failure.code().to_owned())
        };
        assert_eq!(hopeless("Ready", &status("starting", &[])), None);
        assert_eq!(hopeless("Ready", &status("stopped", &[])).as_deref(), Some("not_running"));
        assert_eq!(hopeless("Ready", &status("failed", &[])).as_deref(), Some("not_ready"));
        assert_eq!(hopeless("!Ready", &status("stopped", &[])), None);
        let mut task = status("running", &[]);
        task.task = Some(crate::model::session::TaskStatus::begun(String::new()));
        assert_eq!(hopeless("TaskSucceeded", &task), None);
        if let Some(task) = &mut task.task {
            task.end(Some(1), String::new());
        }
        assert_eq!(hopeless("TaskSucceeded", &task).as_deref(), Some("task_failed"));
        assert_eq!(hopeless("TaskFailed", &task), None);
    }
}
