//! A step in words, for a person who has not read the file. Names and grants stand in it as they are: whoever prints
//! them makes them harmless for where they are shown.

use super::{
    Action, Class,
    facts::{Refusal, Rejected},
    snapshot::{Noted, Planned, Reason},
};
use crate::model::text::counted;

impl Planned {
    /// What is done, in one line without the name: `restarts: 2 sessions are open`.
    #[must_use]
    pub fn headline(&self) -> String {
        match self.action {
            Action::Create if self.reasons.contains(&Reason::StartOnDemand) => "is new".to_owned(),
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
            Action::Nothing => self
                .reasons
                .iter()
                .find_map(|reason| self.held(reason))
                .unwrap_or_else(|| "stays as it is".to_owned()),
        }
    }

    /// What keeps all of it from being done.
    fn held(&self, reason: &Reason) -> Option<String> {
        let stays = if self.id.is_some() { "stays as it is" } else { "does not start" };
        match reason {
            Reason::WaitingForApproval { waits } => {
                Some(format!("{stays} before its {} is approved", waits.field()))
            }
            Reason::ForNew { .. } => {
                Some("changes for new sandboxes; those that are there stay as they are".to_owned())
            }
            Reason::Refused { waits } => Some(format!("{stays}, because its {} was rejected", waits.field())),
            _ => None,
        }
    }

    fn interrupted(&self) -> String {
        match self.sessions {
            0 => String::new(),
            1 => format!(": {} open and ends", open(1)),
            many => format!(": {} open and end", open(many)),
        }
    }

    /// What follows, and what waits: a line each.
    #[must_use]
    pub fn consequences(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rejected.iter().map(|rejected| self.refused(rejected)).collect();
        if !self.builds.is_empty() {
            lines.push(format!("builds a template: {}", self.builds.words()));
        }
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
        lines.extend(self.lacks.iter().map(|lack| format!("warning: {}", lack.words())));
        lines
    }

    /// What a person refused, and how that is taken back.
    fn refused(&self, rejected: &Rejected) -> String {
        let (Noted { grant, .. }, Refusal { id, by, at }) = (&rejected.asked, &rejected.answer);
        let place = rejected.asked.place().map_or_else(String::new, |place| format!("  {place}"));
        format!(
            "rejected: {grant}{place}  by {by} at {at}: `cofferdam approve {} {id}` takes that back",
            self.name
        )
    }

    /// A reason in words; none for those that the headline has said.
    #[must_use]
    pub fn words(&self, reason: &Reason) -> Option<String> {
        let name = &self.name;
        Some(match reason {
            Reason::InSync
            | Reason::Orphaned
            | Reason::Parked
            | Reason::Rejected
            | Reason::WaitingForApproval { .. }
            | Reason::Refused { .. } => return None,
            Reason::StartOnDemand => format!("starts on demand: cofferdam run {name}"),
            Reason::Suspended => format!("is suspended: cofferdam resume {name}"),
            Reason::DefinitionMoved { from, to } => {
                let file = |file: &Option<String>| file.clone().unwrap_or_else(|| "no file".to_owned());
                format!("its definition is in {} now, and was in {}", file(to), file(from))
            }
            Reason::Busy { sessions, then } => {
                format!(
                    "{} waits: {} open (--when-idle waits for their end, --now does not)",
                    awaited(*then),
                    open(*sessions)
                )
            }
            Reason::SessionsUnknown { then } => format!(
                "{} waits: its keeper does not answer, so nobody knows whether sessions are open (--now does not wait)",
                awaited(*then)
            ),
            Reason::CreateOnly { field } => format!(
                "{field} is fixed when a sandbox is made and stays; `cofferdam rm {name}` and apply, or give the new one another name"
            ),
            Reason::ForNew { field } => {
                format!(
                    "{field} counts for sandboxes that are made from now on; those that are there keep theirs"
                )
            }
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
            && self.rejected.is_empty()
            && self.grants.is_empty()
            && self.narrows.is_empty()
            && matches!(self.reasons.as_slice(), [Reason::InSync | Reason::StartOnDemand])
            && self.changes.is_empty()
    }
}

/// `1 session is`, `2 sessions are`.
fn open(sessions: u32) -> String {
    let verb = if sessions == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(usize::try_from(sessions).unwrap_or(usize::MAX), "session"))
}

/// What waits for the end of sessions.
fn awaited(then: Action) -> &'static str {
    if then == Action::Replace { "a new system disk" } else { "a restart" }
}
