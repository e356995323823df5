//! Commands that somebody runs in a sandbox: while one is open, the sandbox is busy.

use serde::{Deserialize, Serialize};

/// Header of the control API's `POST /v1/exec` that says which [`SessionKind`] begins.
pub const SESSION_HEADER: &str = "cofferdam-session";

/// What a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionKind {
    /// One command.
    #[default]
    Exec,
    /// The agent, with a person before it.
    Attach,
    /// The agent, on its own.
    Task,
}

impl std::fmt::Display for SessionKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::Task => "task",
        })
    }
}

impl std::str::FromStr for SessionKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Exec, Self::Attach, Self::Task].into_iter().find(|kind| kind.to_string() == word).ok_or(())
    }
}

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenSession {
    /// What it is.
    pub kind: SessionKind,
    /// The program that it began with. Its arguments may hold what is nobody's business, and are not kept.
    pub program: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// The last task of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Where it stands.
    pub state: TaskState,
    /// When it began, RFC 3339.
    pub since: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Its exit code; none where it was cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// Its session is open.
    Running,
    /// It ended with exit code 0.
    Succeeded,
    /// It ended with another one, or was cut short.
    Failed,
}

impl TaskStatus {
    /// One that begins.
    #[must_use]
    pub fn begun(since: String) -> Self {
        Self { state: TaskState::Running, since, ended: None, exit_code: None }
    }

    /// It ended with this code, or was cut short. What has ended stays as it is.
    pub fn end(&mut self, code: Option<u8>, now: String) {
        if self.state == TaskState::Running {
            self.state = if code == Some(0) { TaskState::Succeeded } else { TaskState::Failed };
            self.exit_code = code;
            self.ended = Some(now);
        }
    }
}
