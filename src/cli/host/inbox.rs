//! The inbox: what waits and what was answered for each definition, and what an answer changes at once.

use serde_json::json;

use super::{Host, approval::now, machines::state_failure, status::told, trust::not_rejected};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Answer, Asked, Inbox, Progress},
        output,
    },
    model::name::Name,
    plan::grant::Grant,
    store::{Approval, Definition, How, Owner, Parked, Record, Rejection, approvals},
};

impl Host {
    /// What waits, of one definition or of all of this user's.
    pub(super) fn inboxes(&self, reference: Option<&str>) -> Result<Vec<Inbox>, Failure> {
        let now = now();
        let mut inboxes = Vec::new();
        let (all, unreadable) = self.store.all_approvals().map_err(state_failure)?;
        for error in &unreadable {
            output::warn(&format!("warning: {}", told(error)));
        }
        if reference.is_some() && !unreadable.is_empty() {
            // Else a name that is meant here would mean another repository's definition.
            self.store.approvals(&self.here).map_err(state_failure)?;
        }
        for known in all {
            let Some(owner) = known.owner.clone() else { continue };
            let committed = self.committed(&owner)?;
            for (name, definition) in &known.definitions {
                let mut inbox = self.inbox(&owner, name, definition, &now);
                let own = name.parse::<Name>().ok().and_then(|name| committed.definitions.get(&name));
                let counting =
                    own.map(|own| not_rejected(own, &definition.rejected).map(|it| it.0.to_string()));
                let counting: Vec<String> = counting.into_iter().flatten().collect();
                inbox.committed = own.cloned().unwrap_or_default();
                inbox.committed.retain(|from| counting.contains(&from.grant));
                inboxes.push(inbox);
            }
        }
        let Some(reference) = reference else { return Ok(inboxes) };
        let (place, name) = match reference.rsplit_once('/') {
            Some((place, name)) => (Some(place), name),
            None => (None, reference),
        };
        inboxes
            .retain(|inbox| inbox.sandbox == name && place.is_none_or(|place| inbox.owner.is_called(place)));
        if place.is_none() && inboxes.iter().any(|inbox| inbox.owner == self.here) {
            inboxes.retain(|inbox| inbox.owner == self.here);
        }
        match inboxes.len() {
            1 => Ok(inboxes),
            0 => Err(Failure::new(
                Kind::NotFound,
                "nothing_asked",
                format!("nothing was ever asked for `{reference}`"),
            )
            .hint("`cofferdam pending` shows what waits; `cofferdam apply` asks")),
            _ => {
                let candidates: Vec<String> =
                    inboxes.iter().map(|inbox| format!("{}/{}", inbox.owner, inbox.sandbox)).collect();
                let message =
                    format!("`{reference}` is the name of several; write one of {}", candidates.join(", "));
                Err(Failure::usage("several_sandboxes", message))
            }
        }
    }

    fn inbox(&self, owner: &Owner, name: &str, definition: &Definition, now: &str) -> Inbox {
        let by_yes = |text: &str| text.parse().is_ok_and(|grant| self.standing.yes_covers(&grant));
        let in_force = || definition.in_force(now).map(|approval| approval.grant.clone());
        let parked = |parked: &Parked| Asked {
            id: approvals::id(&parked.grant),
            sandbox: name.to_owned(),
            why: parked.why.clone(),
            from: parked.from.clone(),
            yes: by_yes(&parked.grant),
            grant: parked.grant.clone(),
            since: Some(parked.since.clone()),
            commit: parked.commit.clone(),
        };
        Inbox {
            owner: owner.clone(),
            place: owner.to_string(),
            sandbox: name.to_owned(),
            asked: definition.parked.iter().map(parked).collect(),
            by_yes: in_force().filter(|text| by_yes(text)).collect(),
            in_force: in_force().collect(),
            by_default: by_default(definition).map(|grant| grant.to_string()).into_iter().collect(),
            committed: Vec::new(),
            approved: definition.approved.clone(),
            rejected: definition.rejected.clone(),
        }
    }

    /// Records an answer about grants of one definition, and carries out at once what it changes in a sandbox that
    /// exists.
    pub(super) fn answer_to(
        &self,
        inbox: &Inbox,
        grants: &[String],
        answer: &Answer,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        let now = now();
        let known = self.store.approvals(&inbox.owner).map_err(state_failure)?;
        let definition = known.definitions.get(&inbox.sandbox).cloned().unwrap_or_default();
        let wanted = definition.wanted.as_deref();
        let before = |grant: &String| definition.approved.iter().find(|approval| approval.grant == *grant);
        // Of a sandbox that is gone, what was approved can be withdrawn and be given an end, and what was refused taken back.
        let refused = |grant: &String| definition.rejected.iter().any(|rejection| rejection.grant == *grant);
        if wanted.is_none() && !grants.iter().all(|grant| before(grant).is_some() || refused(grant)) {
            return Err(Failure::new(
                Kind::NotFound,
                "nothing_asked",
                "what was asked is not there any more",
            )
            .hint("cofferdam apply"));
        }
        let (word, until) = match answer {
            Answer::Approve { until } => ("approve", until.clone()),
            Answer::Reject => ("reject", None),
        };
        let note = || {
            let grants = grants.iter().map(String::as_str);
            let more = match answer {
                Answer::Approve { .. } => vec![("how", json!(How::Asked)), ("until", json!(until))],
                Answer::Reject => Vec::new(),
            };
            self.note_answer(word, &inbox.owner, wanted, grants, more)
        };
        let edit = |change: &dyn Fn(&mut Definition)| {
            self.edit_definition(&inbox.owner, &inbox.sandbox, |definition| change(definition))
        };
        match answer {
            // The events first: nothing is approved that the trail does not know of.
            Answer::Approve { .. } => {
                note()?;
                let given = |grant: &String| {
                    // What was typed goes with its sandbox, whatever end it is given.
                    let typed = before(grant).is_some_and(|approval| approval.how == How::Typed);
                    let how = if typed { How::Typed } else { How::Asked };
                    let approval = self.approval(grant.clone(), how, wanted, until.clone());
                    // Without the document that asked, the commit is that of the first answer.
                    let first = before(grant).filter(|_| wanted.is_none());
                    Approval {
                        commit: first.map_or(approval.commit, |first| first.commit.clone()),
                        ..approval
                    }
                };
                edit(&|definition| definition.approve(grants.iter().map(given)))?;
            }
            // A refusal does not wait for room in the trail.
            Answer::Reject => {
                let refused = |grant: &String| Rejection {
                    grant: grant.clone(),
                    by: self.user.clone(),
                    at: now.clone(),
                };
                edit(&|definition| definition.reject(grants.iter().map(refused)))?;
                note()?;
            }
        }
        let Some(wanted) = wanted else { return Ok(()) };
        let root = definition.root.clone().unwrap_or_else(|| inbox.owner.place().to_owned());
        let before = self.made_of(&inbox.owner, &wanted.name)?;
        self.follow(&inbox.owner, &root, wanted, on)?;
        match (before, self.made_of(&inbox.owner, &wanted.name)?) {
            // Nothing of it changed but the reason why some of it is not in force.
            (Some(before), Some(after)) if before.generation == after.generation => self.tell_parked(&after),
            _ => Ok(()),
        }
    }

    /// The sandbox that was made of a definition.
    fn made_of(&self, owner: &Owner, name: &Name) -> Result<Option<Record>, Failure> {
        Ok(self.records_of(owner)?.into_iter().find(|record| record.name == *name))
    }
}

/// The isolation, where no file says what it shall be.
fn by_default(definition: &Definition) -> Option<Grant> {
    let written = definition.wanted.as_ref().is_some_and(|wanted| wanted.origins.contains_key("isolation"));
    (!written).then_some(Grant::EmulationOk)
}
