//! Sandboxes that a file defines and that could not be made: there is no record of them, and yet somebody waits for
//! them. What kept them from being is remembered with their definitions, until a pass makes them.

use super::{Host, machines::state_failure};
use crate::{
    cli::failure::Failure,
    model::{
        desired::Sandbox,
        name::Name,
        progress::{Obstacle, Obstructed},
        status::{Condition, Phase, SandboxStatus},
    },
    store::{Owner, Record},
};

impl Host {
    /// Notes what kept a sandbox from being made, where that is news; none where nothing did.
    pub(super) fn note_unmade(
        &self,
        owner: &Owner,
        name: &Name,
        by: Option<Obstructed>,
    ) -> Result<(), Failure> {
        let known = self.store.approvals(owner).map_err(state_failure)?;
        let before = known.definitions.get(name.as_str()).and_then(|it| it.obstructed.as_ref());
        if before == by.as_ref() {
            return Ok(());
        }
        self.edit_definition(owner, name.as_str(), |definition| definition.obstructed = by)
    }

    /// Forgets those whose document has disappeared from the files that define these.
    pub(super) fn forget_undefined(&self, owner: &Owner, defined: &[Sandbox]) -> Result<(), Failure> {
        let known = self.store.approvals(owner).map_err(state_failure)?;
        for (name, definition) in known.definitions.iter().filter(|(_, it)| it.obstructed.is_some()) {
            let file = definition.wanted.as_ref().and_then(|it| it.provenance.file.as_ref());
            let is_read = defined.iter().any(|it| file.is_some() && it.provenance.file.as_ref() == file);
            if is_read && !defined.iter().any(|it| it.name.as_str() == name) {
                self.edit_definition(owner, name, |definition| definition.obstructed = None)?;
            }
        }
        Ok(())
    }

    /// Where definitions stand whose sandboxes could not be made, and are not among `records`. `only`: of this owner.
    pub(super) fn unmade(
        &self,
        records: &[Record],
        only: Option<&Owner>,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        // What cannot be read is told by `pending`, and with the sandboxes that it concerns.
        let (all, _) = self.store.all_approvals().map_err(state_failure)?;
        let mut statuses = Vec::new();
        for known in all {
            let Some(owner) = known.owner.filter(|owner| only.is_none_or(|only| only == owner)) else {
                continue;
            };
            for (name, definition) in known.definitions {
                let made = records.iter().any(|it| it.owner == owner && it.name.as_str() == name);
                let (Some(wanted), Some(by), false) = (definition.wanted, definition.obstructed, made) else {
                    continue;
                };
                // Nobody waits for what no file defines any more.
                if wanted.provenance.file.as_ref().is_some_and(|file| !file.exists()) {
                    continue;
                }
                statuses.push(SandboxStatus {
                    agent: wanted.agent.kit.clone(),
                    workspace: wanted.workspace.as_ref().map(|it| it.path.display().to_string()),
                    file: wanted.provenance.file.as_ref().map(|file| file.display().to_string()),
                    commit: wanted.provenance.commit.clone(),
                    reason: Some("it was never made".to_owned()),
                    conditions: vec![stalled(&by, &name)],
                    ..SandboxStatus::new(name, "", Phase::Stopped)
                });
            }
        }
        Ok(statuses)
    }
}

fn stalled(by: &Obstructed, name: &str) -> Condition {
    let again = match by.by {
        Obstacle::TemplateFailed => {
            format!("; `cofferdam template build {name}` runs it again and shows its log")
        }
        _ => String::new(),
    };
    Condition {
        condition: "Stalled".to_owned(),
        reason: Some(by.by.to_string()),
        message: Some(format!("{}{again}", by.message)),
    }
}

#[cfg(test)]
#[path = "unmade_tests.rs"]
mod tests;
