//! A step in words, for a person who has not read the file. Names and grants stand in it as they are: whoever prints
//! them makes them harmless for where they are shown.

use super::{
    Action, Class,
    grant::Waits,
    snapshot::{Planned, Reason},
};

impl Planned {
    /// What is done, in one line without the name: `restarts: 2 sessions are open`.
    #[must_use]
    pub fn headline(&self) -> String {
        match self.action {
            Action::Create => "is made and started".to_owned(),
            Action::Start => "is started".to_owned(),
            Action::UpdateLive => "changes while it runs".to_owned(),
            Action::Restart => format!("is started anew{}", self.interrupted()),
            Action::Replace => format!(
                "gets a new system disk; home, workspace, caches and history stay{}",
                self.interrupted()
            ),
            Action::Orphan => "is stopped, because its document is gone; its disks stay".to_owned(),
            Action::Remove => "is removed with its disks, because its document is gone".to_owned(),
            Action::Nothing if self.waits_for_approval() => "waits for approval".to_owned(),
            Action::Nothing => "stays as it is".to_owned(),
        }
    }

    fn waits_for_approval(&self) -> bool {
        self.reasons.iter().any(|reason| matches!(reason, Reason::WaitingForApproval { .. }))
    }

    fn interrupted(&self) -> String {
        match self.sessions {
            0 => String::new(),
            1 => ": 1 session is open and ends".to_owned(),
            many => format!(": {many} sessions are open and end"),
        }
    }

    /// What follows, and what waits: a line each.
    #[must_use]
    pub fn consequences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (class, when) in [
            (Class::Live, "at once"),
            (Class::Restart, "with the restart"),
            (Class::Replace, "with the new system disk"),
        ] {
            let fields: Vec<&str> = self
                .changes
                .iter()
                .filter(|change| change.class == class && change.field != "provenance")
                .map(|change| change.field.as_ref())
                .collect();
            if !fields.is_empty() {
                let when = if self.action == Action::Nothing { "at the next start" } else { when };
                lines.push(format!("{when}: {}", fields.join(", ")));
            }
        }
        if let [only] = self.changes.as_slice()
            && only.field == "provenance"
        {
            lines.push("at once: the places and reasons that events name".to_owned());
        }
        lines.extend(self.reasons.iter().filter_map(|reason| self.words(reason)));
        lines
    }

    /// A reason in words; none for those that the headline has said.
    #[must_use]
    pub fn words(&self, reason: &Reason) -> Option<String> {
        let name = &self.name;
        Some(match reason {
            Reason::InSync | Reason::Orphaned | Reason::Parked => return None,
            Reason::StartOnDemand => format!("starts on demand: cofferdam run {name}"),
            Reason::Suspended => format!("is suspended: cofferdam resume {name}"),
            Reason::WaitingForApproval { waits: Waits::Workspace(grant) } => {
                format!("waits: its workspace is not approved ({grant})")
            }
            Reason::WaitingForApproval { waits: Waits::Isolation(grant) } => {
                format!("waits: a machine without hardware virtualisation is not approved ({grant})")
            }
            Reason::Busy { sessions, then } => {
                let open = if *sessions == 1 {
                    "1 session is".to_owned()
                } else {
                    format!("{sessions} sessions are")
                };
                format!(
                    "{} waits: {open} open (--when-idle waits for their end, --now does not)",
                    awaited(*then)
                )
            }
            Reason::SessionsUnknown { then } => format!(
                "{} waits: its keeper does not answer, so nobody knows whether sessions are open (--now does not wait)",
                awaited(*then)
            ),
            Reason::CreateOnly { field } => format!(
                "{field} is fixed when a sandbox is made and stays; `cofferdam rm {name}` and apply, or give the new one another name"
            ),
            Reason::RuleEnded { pattern, until, origin } => {
                let place = match (&origin.file, origin.line) {
                    (Some(file), Some(line)) => format!("  {file}:{line}"),
                    _ => String::new(),
                };
                format!("its rule for {pattern} has ended ({until}) and says nothing any more{place}")
            }
            Reason::Unfinished => "finishes what an interrupted pass has left".to_owned(),
        })
    }

    /// Whether there is nothing to say of it.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.action == Action::Nothing
            && self.parked.is_empty()
            && matches!(self.reasons.as_slice(), [Reason::InSync | Reason::StartOnDemand])
            && self.changes.is_empty()
    }
}

/// What waits for the end of sessions.
fn awaited(then: Action) -> &'static str {
    if then == Action::Replace { "a new system disk" } else { "a restart" }
}
