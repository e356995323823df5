//! What needs a question, what was answered, and what an answer changes at once.
//!
//! A plan is made from three things: the documents, what there is, and what was approved for their owner and name. The
//! files of a repository contribute to the first alone. The time is read here and enters as data: an approval that has
//! ended is not there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Host,
    machines::state_failure,
    status::told,
    trust::{Committed, not_rejected},
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Answer, Asked, Inbox, Proposal},
        output,
    },
    kit::COMMAND_LINE,
    model::{
        config::{OperatorConfig, WrittenGrant, YesApproves},
        desired::Sandbox,
        event::{Decision, Draft},
        name::Name,
        rule::Origin,
    },
    plan::{
        Noted, Plan,
        grant::{Grant, GrantSet, Ground, Held, granted},
    },
    store::{Approval, ApprovalsError, Definition, How, Owner, Parked, Rejection, approvals},
};

/// Most that the grants of one list of the operator weigh: each is compared with each.
const WEIGHT_MAX: usize = 4_096;

/// The operator's answers to questions that are not asked.
#[derive(Clone)]
pub(super) struct Standing {
    yes: YesApproves,
    pub(super) baseline: GrantSet,
    never: GrantSet,
}

impl Standing {
    /// Reads the grants that the configuration names.
    pub(super) fn of(config: &OperatorConfig, file: &std::path::Path) -> Result<Self, Failure> {
        let set = |written: &[WrittenGrant]| {
            let mut weight = 0;
            let mut read = |written: &WrittenGrant| {
                let wrong = |message: String| {
                    let (line, column) = (Some(written.line), Some(written.column));
                    Failure::new(Kind::File, "grant", message).at(file, line, column)
                };
                let grant = written.text.parse::<Grant>().map_err(|error| wrong(error.to_string()))?;
                weight += grant.weight();
                match weight > WEIGHT_MAX {
                    true => Err(wrong(format!(
                        "more than {WEIGHT_MAX} grants, methods and exceptions, from here on"
                    ))),
                    false => Ok(grant),
                }
            };
            written.iter().map(&mut read).collect::<Result<GrantSet, _>>()
        };
        let approvals = &config.approvals;
        Ok(Self { yes: approvals.yes, baseline: set(&approvals.baseline)?, never: set(&approvals.never)? })
    }

    /// Whether `--yes` approves it.
    fn yes_covers(&self, grant: &Grant) -> bool {
        match self.yes {
            YesApproves::Any => true,
            YesApproves::None => false,
            // What has anything in common with a listed grant would bring that along.
            YesApproves::Personal => !self.never.grants().iter().any(|never| never.meets(grant)),
        }
    }
}

/// Whether a grant stands on the command line, or in a kit of our own that it names. What a file of the repository says
/// was typed by nobody here.
pub(super) fn is_typed(origin: Option<&Origin>) -> bool {
    let Some(file) = origin.and_then(|origin| origin.file.as_deref()) else { return true };
    let built_in = file.strip_prefix("kit ").is_some_and(|name| name.parse::<Name>().is_ok());
    file == COMMAND_LINE || built_in
}

/// The grants of a command line's document that its author wrote there.
pub(super) fn typed(sandbox: &Sandbox, ground: &Ground) -> GrantSet {
    granted(sandbox, ground)
        .into_iter()
        .filter(|granted| is_typed(granted.origin))
        .map(|granted| granted.grant)
        .collect()
}

impl Host {
    /// What counts as approved now for the sandboxes of `owner`. A grant that this release cannot read is none.
    /// What was typed for a sandbox of a command line counts for that one, and not for a file's of the same name; what
    /// a trusted ref approves counts for files.
    pub(super) fn approved(
        &self,
        owner: &Owner,
        typed: bool,
        committed: &Committed,
    ) -> Result<BTreeMap<Name, Held>, Failure> {
        let (now, known) = (now(), self.store.approvals(owner).map_err(state_failure)?);
        let held = |(name, definition): (&String, &Definition)| {
            let counting = definition.in_force(&now).filter(|approval| typed || approval.how != How::Typed);
            let grants = counting.filter_map(|approval| Some((approval.grant.parse().ok()?, approval.end())));
            Some((name.parse().ok()?, grants.collect()))
        };
        let mut all: BTreeMap<Name, Held> = known.definitions.iter().filter_map(held).collect();
        for (name, grants) in committed.definitions.iter().filter(|_| !typed) {
            let rejected = known.definitions.get(name.as_str()).map_or(&[][..], |it| it.rejected.as_slice());
            let more: Held = not_rejected(grants, rejected).collect();
            let own = all.entry(name.clone()).or_default();
            *own = own.union(&more);
        }
        Ok(all)
    }

    /// What a plan asks for and nobody has answered.
    pub(super) fn asked(&self, plan: &Plan, owner: &Owner) -> Result<Vec<Asked>, Failure> {
        let known = self.store.approvals(owner).map_err(state_failure)?;
        let mut asked = Vec::new();
        for step in &plan.steps {
            let rejected = known.definitions.get(step.name.as_str()).map(|it| it.rejected.as_slice());
            let open = step.parked.iter().filter(|noted| {
                let text = noted.grant.to_string();
                rejected.is_none_or(|rejected| rejected.iter().all(|rejection| rejection.grant != text))
            });
            asked.extend(open.map(|noted| self.question(step.name.as_str(), noted)));
        }
        Ok(asked)
    }

    fn question(&self, sandbox: &str, noted: &Noted) -> Asked {
        let grant = noted.grant.to_string();
        Asked {
            id: approvals::id(&grant),
            sandbox: sandbox.to_owned(),
            why: noted.why.clone(),
            from: noted.file.as_ref().map(|file| match noted.line {
                Some(line) => format!("{file}:{line}"),
                None => file.clone(),
            }),
            yes: self.standing.yes_covers(&noted.grant),
            grant,
            since: None,
            commit: None,
        }
    }

    /// Remembers what a proposal asks for and has not got, with the documents: an answer needs no second look at files.
    pub(super) fn remember(&self, proposal: &Proposal, anew: bool) -> Result<(), Failure> {
        let (Some(owner), Some(input)) = (&proposal.owner, &proposal.input) else { return Ok(()) };
        let now = now();
        for wanted in &input.desired {
            let asked = proposal.asked.iter().filter(|asked| asked.sandbox == wanted.name.as_str());
            let parked: Vec<Parked> = asked
                .map(|asked| Parked {
                    grant: asked.grant.clone(),
                    why: asked.why.clone(),
                    from: asked.from.clone(),
                    since: now.clone(),
                    commit: wanted.provenance.commit.clone(),
                })
                .collect();
            let typed: Vec<String> = if anew { texts(&typed(wanted, &input.ground)) } else { Vec::new() };
            self.edit_definition(owner, wanted.name.as_str(), |definition| {
                if !proposal.typed {
                    // What somebody typed for another sandbox of this name says nothing about the file's.
                    definition.approved.retain(|approval| approval.how != How::Typed);
                }
                let missing = typed
                    .into_iter()
                    .filter(|grant| definition.approved.iter().all(|approval| approval.grant != *grant));
                let missing: Vec<Approval> =
                    missing.map(|grant| self.approval(grant, How::Typed, Some(wanted), None)).collect();
                definition.approve(missing);
                definition.park(parked);
                definition.root = Some(input.ground.root.clone());
                definition.wanted = Some(Box::new(wanted.clone()));
            })?;
            if !proposal.typed {
                self.note_committed(owner, wanted, &input.ground)?;
            }
        }
        Ok(())
    }

    /// Records answers to questions of a proposal, and plans the same documents again.
    pub(super) fn approve_of(
        &self,
        proposal: &Proposal,
        ids: &[String],
        how: How,
    ) -> Result<Proposal, Failure> {
        let (Some(owner), Some(input)) = (&proposal.owner, &proposal.input) else {
            return Ok(proposal.clone());
        };
        for wanted in &input.desired {
            let chosen: Vec<&Asked> = proposal
                .asked
                .iter()
                .filter(|asked| asked.sandbox == wanted.name.as_str() && ids.contains(&asked.id))
                .collect();
            if chosen.is_empty() {
                continue;
            }
            let given: Vec<Approval> = chosen
                .iter()
                .map(|asked| self.approval(asked.grant.clone(), how, Some(wanted), None))
                .collect();
            // The event first: nothing is approved that the trail does not know of.
            let grants = chosen.iter().map(|asked| asked.grant.as_str());
            self.note_answer("approve", owner, Some(wanted), grants, [("how", json!(how))])?;
            self.edit_definition(owner, wanted.name.as_str(), |definition| definition.approve(given))?;
        }
        self.proposal(input.clone(), owner.clone(), proposal.typed, proposal.warnings.clone())
    }

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
        on: &dyn crate::cli::ops::Progress,
    ) -> Result<(), Failure> {
        let now = now();
        let known = self.store.approvals(&inbox.owner).map_err(state_failure)?;
        let definition = known.definitions.get(&inbox.sandbox).cloned().unwrap_or_default();
        let wanted = definition.wanted.as_deref();
        let before = |grant: &String| definition.approved.iter().find(|approval| approval.grant == *grant);
        // What was approved for a sandbox that is gone can be withdrawn, and be given an end.
        if wanted.is_none() && !grants.iter().all(|grant| before(grant).is_some()) {
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
        self.follow(&inbox.owner, &root, wanted, on)
    }

    /// Forgets what was typed and what waits for a sandbox that was removed; what a person approved for the definition
    /// stays.
    pub(super) fn forget_typed(&self, owner: &Owner, name: &str) -> Result<(), Failure> {
        self.edit_definition(owner, name, |definition| {
            definition.approved.retain(|approval| approval.how != How::Typed);
            definition.parked.clear();
            definition.wanted = None;
            definition.root = None;
        })
    }

    pub(super) fn edit_definition(
        &self,
        owner: &Owner,
        name: &str,
        change: impl FnOnce(&mut Definition),
    ) -> Result<(), Failure> {
        self.store.edit_approvals(owner, name, change).map_err(|error| match error {
            ApprovalsError::Store(error) => state_failure(error),
            other => Failure::new(Kind::File, "too_many_grants", other.to_string()),
        })
    }

    fn approval(&self, grant: String, how: How, wanted: Option<&Sandbox>, until: Option<String>) -> Approval {
        let commit = wanted.and_then(|wanted| wanted.provenance.commit.clone());
        Approval { grant, by: self.user.clone(), at: now(), how, commit, until }
    }

    fn note_answer<'a>(
        &self,
        action: &str,
        owner: &Owner,
        wanted: Option<&Sandbox>,
        grants: impl Iterator<Item = &'a str>,
        more: impl IntoIterator<Item = (&'static str, Value)> + Clone,
    ) -> Result<(), Failure> {
        let draft = |grant| answered(action, owner, grant, more.clone());
        self.note_all(grants.map(draft).collect(), wanted)
    }
}

/// The event of one answer about one grant.
pub(super) fn answered(
    action: &str,
    owner: &Owner,
    grant: &str,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> Draft {
    Draft {
        time: now(),
        action: action.to_owned(),
        resource: grant.to_owned(),
        decision: if action == "approve" { Decision::Allow } else { Decision::Deny },
        rule: None,
        reason: action.to_owned(),
        detail: [("grant_id", json!(approvals::id(grant))), ("owner", json!(owner.to_string()))]
            .into_iter()
            .chain(more)
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

fn texts(set: &GrantSet) -> Vec<String> {
    set.grants().iter().map(ToString::to_string).collect()
}

/// RFC 3339 in UTC.
pub(super) fn now() -> String {
    Timestamp::now().to_string()
}

#[cfg(test)]
#[path = "approval_tests.rs"]
pub(super) mod tests;
