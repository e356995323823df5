//! Rules that commands add: edited in one revision, and in force in running sandboxes before the command ends.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, json};

use super::{
    Host,
    edit::{apply, chosen, lifts, widens},
    machines::state_failure,
};
use crate::{
    cli::{
        client::{self, Client, ClientError},
        failure::{Failure, Kind},
        ops::{RuleChange, RuleEdit, RuleScope},
        output,
    },
    model::{
        api::PolicyRevision,
        desired::{Network, Preset},
        event::{Decision, Draft, RuleRef},
        name::SandboxId,
        parked::ParkedRule,
        rule::{Effect, HostPattern, NetworkRule, Protocol, Target},
        status::SetupState,
    },
    plan::grant,
    policy::{Compiled, Request, decide, layers},
    store::{Owner, Record, Scope},
};

impl Host {
    /// The whole policy as it is in force for a sandbox, or for any without rules of its own.
    pub(super) fn effective(
        &self,
        record: Option<&Record>,
        wanted: Option<Preset>,
    ) -> Result<PolicyRevision, Failure> {
        let scopes = match record {
            Some(record) => vec![Scope::User, Scope::Owner(&record.owner), Scope::Sandbox(&record.id)],
            None => vec![Scope::User, Scope::Owner(&self.here)],
        };
        let added = self.store.added(scopes).map_err(state_failure)?;
        let nothing = Network::default();
        let declared = record.map_or(&nothing, |record| &record.desired.network);
        let file = record.and_then(|record| record.desired.provenance.file.as_ref());
        let file = file.map(|file| file.display().to_string());
        let policy = layers::compose(0, declared, file, wanted.or(added.preset), added.rules);
        let parked = record.map(|record| self.parked(record)).transpose()?.unwrap_or_default();
        let policy = layers::parking(policy, parked);
        let stages = !layers::setup_rules(&policy).is_empty();
        let setup = match record.filter(|_| stages) {
            Some(record) => self.status_of(record)?.setup,
            None => None,
        };
        let staged = layers::staged(policy, setup.is_some_and(|setup| setup.state == SetupState::Running));
        Ok(layers::at(staged, Timestamp::now()))
    }

    /// What stands in a sandbox's document and is not in force.
    fn parked(&self, record: &Record) -> Result<Vec<ParkedRule>, Failure> {
        let mut known = self.store.approvals(&record.owner).map_err(state_failure)?;
        let Some(definition) = known.definitions.remove(record.name.as_str()) else { return Ok(Vec::new()) };
        let Some(wanted) = definition.wanted.as_deref() else { return Ok(Vec::new()) };
        let rejected = definition.rejected.iter().map(|rejection| rejection.grant.as_str());
        Ok(grant::parked(wanted, &record.desired, rejected, Timestamp::now()))
    }

    /// Lets a running sandbox know what of its document is not in force now, so that its denials say so. A sandbox that
    /// does not hear it runs on under the same rules.
    pub(super) fn tell_parked(&self, record: &Record) -> Result<(), Failure> {
        let client = Client::new(self.socket(&record.id)?);
        match client::block_on(async { Ok(client.reload_policy().await) })? {
            Ok(_) | Err(ClientError::NotRunning) => {}
            Err(error) => output::warn(&format!(
                "warning: {} does not know yet what waits of its rules, and its denials do not say it: {error}",
                record.name
            )),
        }
        Ok(())
    }

    /// Changes the rules of one scope.
    pub(super) fn edit(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure> {
        let record = match scope {
            RuleScope::Sandbox(found) => Some(self.record_of(found)?),
            RuleScope::User | RuleScope::Here => None,
        };
        if let RuleEdit::Add(added) = &edit
            && let Some(denied_by) = self.still_denied(record.as_ref(), scope, added)?
        {
            return Ok(RuleChange {
                scope: words(scope, &self.here),
                denied_by: Some(denied_by),
                ..RuleChange::default()
            });
        }
        let place = match (scope, &record) {
            (RuleScope::Sandbox(_), Some(record)) => Scope::Sandbox(&record.id),
            (RuleScope::Here, _) => Scope::Owner(&self.here),
            _ => Scope::User,
        };
        let prefix = match scope {
            RuleScope::User => "user".to_owned(),
            RuleScope::Here => "local".to_owned(),
            RuleScope::Sandbox(found) => format!("session.{}", found.desired.name),
        };
        let mut unnoted = None;
        let edited = self.store.edit_rules(place, |set| {
            // What has ended goes with the next change.
            set.remove(|rule| rule.until.is_some_and(|until| until.is_over(Timestamp::now())));
            let (wider, chosen) = (widens(&edit), chosen(&edit));
            let (added, removed) = apply(set, &prefix, edit);
            let wider = wider || removed.iter().any(|rule| rule.effect == Effect::Deny);
            // The events first: nothing is allowed that the trail does not know of. What only tightens does not wait
            // for room in the trail.
            match self.note_change(&added, &removed, chosen, &words(scope, &self.here)) {
                Err(failure) if wider => Err(failure),
                noted => {
                    unnoted = noted.err();
                    Ok((added, removed))
                }
            }
        });
        let (_, (added, removed)) = edited.map_err(state_failure)??;
        let (live, closed) = self.enforce(scope, record.as_ref().map(|record| &record.id))?;
        if let Some(failure) = unnoted {
            return Err(failure);
        }
        Ok(RuleChange { added, removed, scope: words(scope, &self.here), live, closed, denied_by: None })
    }

    /// A deny of another scope that an allow of the same pattern would not lift.
    fn still_denied(
        &self,
        record: Option<&Record>,
        scope: &RuleScope,
        added: &[NetworkRule],
    ) -> Result<Option<NetworkRule>, Failure> {
        let own: Vec<NetworkRule> = match (scope, record) {
            (RuleScope::Sandbox(_), Some(record)) => self.store.rules(Scope::Sandbox(&record.id)),
            (RuleScope::Here, _) => self.store.rules(Scope::Owner(&self.here)),
            _ => self.store.rules(Scope::User),
        }
        .map_err(state_failure)?
        .rules;
        let mut policy = self.effective(record, None)?;
        let lifts = |deny: &NetworkRule| {
            let own = own.iter().any(|rule| rule.id == deny.id);
            own && added.iter().any(|allow| lifts(allow, deny))
        };
        policy.rules.retain(|rule| !lifts(rule));
        let compiled = Compiled::new(&policy);
        for allow in added.iter().filter(|rule| rule.effect == Effect::Allow) {
            let denial = match &allow.host {
                HostPattern::Exact(name) => {
                    denies(&compiled, Target::Name(name.clone()), allow).map(|rule| (*rule).clone())
                }
                HostPattern::Net(net) => {
                    denies(&compiled, Target::Address(net.addr()), allow).map(|rule| (*rule).clone())
                }
                // Some of its names may be denied and others not: only a rule of just this pattern denies all.
                pattern => policy
                    .rules
                    .iter()
                    .find(|rule| rule.effect == Effect::Deny && rule.host == *pattern)
                    .cloned(),
            };
            if denial.is_some() {
                return Ok(denial);
            }
        }
        Ok(None)
    }

    /// Puts the rules in force in every running sandbox of the scope; gives their names and how many connections
    /// were closed.
    pub(super) fn enforce(
        &self,
        scope: &RuleScope,
        only: Option<&SandboxId>,
    ) -> Result<(Vec<String>, u32), Failure> {
        let (mut live, mut closed) = (Vec::new(), 0_u32);
        for record in self.records()? {
            let concerned = match scope {
                RuleScope::User => true,
                RuleScope::Here => record.owner == self.here,
                RuleScope::Sandbox(_) => Some(&record.id) == only,
            };
            if !concerned {
                continue;
            }
            let client = Client::new(self.socket(&record.id)?);
            match client::block_on(async { Ok(client.reload_policy().await) })? {
                Ok(reloaded) => {
                    closed = closed.saturating_add(reloaded.closed);
                    live.push(record.name.to_string());
                }
                Err(ClientError::NotRunning) => {}
                // A sandbox that runs on under old rules is worth a failure.
                Err(error) => {
                    let message =
                        format!("the rules are written, but sandbox {} has not taken them", record.name);
                    return Err(Failure::new(Kind::Failed, "not_in_force", message)
                        .caused_by(&error)
                        .hint(format!("cofferdam restart {}", record.name)));
                }
            }
        }
        let (builds, more) = self.enforce_in_builds(scope)?;
        live.extend(builds);
        Ok((live, closed.saturating_add(more)))
    }

    fn note_change(
        &self,
        added: &[NetworkRule],
        removed: &[NetworkRule],
        chosen: Option<Preset>,
        scope: &str,
    ) -> Result<(), Failure> {
        let draft = |reason: &str, resource, rule: Option<&NetworkRule>| Draft {
            time: Timestamp::now().to_string(),
            action: "policy.change".to_owned(),
            resource,
            decision: Decision::Allow,
            rule: rule.map(RuleRef::from),
            reason: reason.to_owned(),
            detail: Map::from_iter([
                ("effect".to_owned(), json!(rule.map(|rule| rule.effect))),
                ("scope".to_owned(), json!(scope)),
            ]),
        };
        let added = added.iter().map(|rule| draft("added", rule.pattern(), Some(rule)));
        let removed = removed.iter().map(|rule| draft("removed", rule.pattern(), Some(rule)));
        let preset = chosen.map(|preset| {
            draft("chosen", format!("preset {}", json!(preset).as_str().unwrap_or_default()), None)
        });
        self.note_all(added.chain(removed).chain(preset).collect(), None)
    }
}

/// The rule that denies `target` on the ports of `allow`.
fn denies(policy: &Compiled, target: Target, allow: &NetworkRule) -> Option<Arc<NetworkRule>> {
    let port = allow.ports.first;
    let protocol = allow.protocol.or(Protocol::default_for(port)).unwrap_or(Protocol::Tcp);
    let decision = decide(policy, &Request { target: &target, port, protocol, http: None });
    decision.rule().filter(|rule| rule.effect == Effect::Deny).cloned()
}

fn words(scope: &RuleScope, here: &Owner) -> String {
    match (scope, here) {
        (RuleScope::User, _) => "every sandbox of this user".to_owned(),
        (RuleScope::Here, Owner::Folder { .. }) => "the sandboxes of this folder".to_owned(),
        (RuleScope::Here, _) => "the sandboxes of this repository".to_owned(),
        (RuleScope::Sandbox(found), _) => format!("sandbox {}", found.desired.name),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
