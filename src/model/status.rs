//! The observed state of one sandbox.

use serde::{Deserialize, Serialize};

use super::session::{OpenSession, TaskStatus};

/// Where the machine stands. Drawn in `lifecycle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// No process of it runs.
    Stopped,
    /// Its processes start, its guest boots.
    Starting,
    /// The guest answers.
    Running,
    /// It goes down.
    Stopping,
    /// It ended without being told to; the reason stands beside.
    Failed,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        })
    }
}

/// What separates the guest from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Isolation {
    /// Hardware virtualisation.
    Hardware,
    /// An emulator's process jail.
    Emulated,
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hardware => "hardware",
            Self::Emulated => "emulated",
        })
    }
}

/// One thing that is true of a sandbox (`KIT.md`, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Reconciling`, `Stalled`, `PendingApproval`.
    pub condition: String,
    /// For `Stalled` and `Reconciling` why, as one word: `Orphaned`, `Failed`, `Interrupted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One line of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxStatus {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: String,
    /// Its agent's kit.
    pub agent: String,
    /// Where the machine stands.
    pub phase: Phase,
    /// What is true of it; what its keeper says of itself has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Why, when that needs a word: the last line of a failure, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What separates guest and host, once the machine has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Layers of the jail that this host lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jail_missing: Vec<String>,
    /// Kernel release of the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The workspace's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// What the guest wants a person to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Milliseconds from start to the guest's first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_ms: Option<u64>,
    /// SHA-256 of the effective policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
    /// File that it was applied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Commit of that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What is done in the guest before the agent's first command, where there is any of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<SetupStatus>,
    /// Its ports on the host, while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// Open sessions, while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<OpenSession>,
    /// Its last task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskStatus>,
    /// Its keeper lives and did not answer in time: the phase is what it noted last, and sessions are unknown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub silent: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(word: &bool) -> bool {
    !*word
}

impl SandboxStatus {
    /// That it is, and its phase; nothing else is known.
    #[must_use]
    pub fn new(name: impl Into<String>, id: impl Into<String>, phase: Phase) -> Self {
        Self {
            name: name.into(),
            id: id.into(),
            agent: String::new(),
            phase,
            conditions: Vec::new(),
            reason: None,
            isolation: None,
            jail_missing: Vec::new(),
            kernel: None,
            workspace: None,
            notes: Vec::new(),
            boot_ms: None,
            policy_hash: None,
            file: None,
            commit: None,
            setup: None,
            ports: Vec::new(),
            sessions: Vec::new(),
            task: None,
            silent: false,
        }
    }

    /// Whether nothing more is to be waited for: it does not start, and its set-up does not run.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let sets_up = self.setup.as_ref().is_some_and(|setup| setup.state == SetupState::Running);
        self.phase != Phase::Starting && !(self.phase == Phase::Running && sets_up)
    }

    /// The machine is down: its sessions are over, and a task that ran was cut short.
    pub fn interrupt(&mut self, now: &str) {
        self.sessions.clear();
        if let Some(task) = &mut self.task {
            task.end(None, now.to_owned());
        }
    }

    /// The set-up that keeps a running sandbox from being ready.
    #[must_use]
    pub fn failed_setup(&self) -> Option<&SetupStatus> {
        self.setup.as_ref().filter(|setup| setup.state == SetupState::Failed)
    }
}

/// Where a set-up stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SetupState {
    /// It runs; nobody's session has begun.
    Running,
    /// Everything succeeded.
    Done,
    /// A step failed: `SetupFailed`. The machine stays up.
    Failed,
}

/// Files and set-up steps of the current start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupStatus {
    /// Where it stands.
    pub state: SetupState,
    /// The step that runs, or that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Number of that step, from 1.
    pub index: u32,
    /// How many there are.
    pub total: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Last lines of the step that failed, control characters made visible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// A port of the guest on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPort {
    /// Port in the guest.
    pub guest: u16,
    /// Port on the host.
    pub host: u16,
    /// Address of the host; always the loopback's.
    pub address: String,
}
