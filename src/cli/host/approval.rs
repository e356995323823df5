//! What needs a question, and what was answered.
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
    trust::{Committed, not_rejected},
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{Asked, Proposal},
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
    store::{Approval, ApprovalsError, Definition, How, Owner, Parked, approvals},
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
    pub(super) fn yes_covers(&self, grant: &Grant) -> bool {
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
            let parked = known.definitions.get(step.name.as_str()).map(|it| it.parked.as_slice());
            let since: BTreeMap<&str, &str> =
                parked.into_iter().flatten().map(|it| (it.grant.as_str(), it.since.as_str())).collect();
            asked.extend(step.parked.iter().map(|noted| {
                let asked = self.question(step.name.as_str(), noted);
                let since = since.get(asked.grant.as_str()).map(|since| (*since).to_owned());
                Asked { since, ..asked }
            }));
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

    /// Forgets what was typed and what waits for a sandbox that was removed; what a person approved for the definition
    /// stays.
    pub(super) fn forget_typed(&self, owner: &Owner, name: &str) -> Result<(), Failure> {
        self.edit_definition(owner, name, |definition| {
            definition.approved.retain(|approval| approval.how != How::Typed);
            definition.parked.clear();
            definition.obstructed = None;
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

    pub(super) fn approval(
        &self,
        grant: String,
        how: How,
        wanted: Option<&Sandbox>,
        until: Option<String>,
    ) -> Approval {
        let commit = wanted.and_then(|wanted| wanted.provenance.commit.clone());
        Approval { grant, by: self.user.clone(), at: now(), how, commit, until }
    }

    pub(super) fn note_answer<'a>(
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
