//! Rules that commands add: edited in one revision, and in force in running sandboxes before the command ends.

use std::{convert::Infallible, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, json};

use super::{Host, machines::state_failure};
use crate::{
    cli::{
        client::{self, Client, ClientError},
        failure::{Failure, Kind},
        ops::{RuleChange, RuleEdit, RuleScope},
    },
    model::status::SetupState,
    model::{
        api::PolicyRevision,
        desired::{Network, Preset},
        event::{Decision, Draft, RuleRef},
        name::SandboxId,
        rule::{Effect, HostPattern, NetworkRule, Protocol, Target},
    },
    policy::{Compiled, Request, decide, layers},
    store::{Owner, Record, RuleSet, Scope},
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
        let stages = !layers::setup_rules(&policy).is_empty();
        let setup = match record.filter(|_| stages) {
            Some(record) => self.status_of(record)?.setup,
            None => None,
        };
        let staged = layers::staged(policy, setup.is_some_and(|setup| setup.state == SetupState::Running));
        Ok(layers::at(staged, Timestamp::now()))
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
        let (_, (added, removed)) = self
            .store
            .edit_rules(place, |set| {
                // What has ended goes with the next change.
                set.remove(|rule| rule.until.is_some_and(|until| until.is_over(Timestamp::now())));
                Ok::<_, Infallible>(apply(set, &prefix, edit))
            })
            .map_err(state_failure)?
            .unwrap_or_else(|never| match never {});
        self.note_change(&added, &removed, &words(scope, &self.here))?;
        let (live, closed) = self.enforce(scope, record.as_ref().map(|record| &record.id))?;
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
        scope: &str,
    ) -> Result<(), Failure> {
        let draft = |(verb, rule): (&str, &NetworkRule)| Draft {
            time: Timestamp::now().to_string(),
            action: "policy.change".to_owned(),
            resource: rule.pattern(),
            decision: Decision::Allow,
            rule: Some(RuleRef::from(rule)),
            reason: verb.to_owned(),
            detail: Map::from_iter([
                ("effect".to_owned(), json!(rule.effect)),
                ("scope".to_owned(), json!(scope)),
            ]),
        };
        let added = added.iter().map(|rule| ("added", rule));
        let changes = added.chain(removed.iter().map(|rule| ("removed", rule)));
        self.note_all(changes.map(draft).collect(), None)
    }
}

/// The rule that denies `target` on the ports of `allow`.
fn denies(policy: &Compiled, target: Target, allow: &NetworkRule) -> Option<Arc<NetworkRule>> {
    let port = allow.ports.first;
    let protocol = allow.protocol.or(Protocol::default_for(port)).unwrap_or(Protocol::Tcp);
    let decision = decide(policy, &Request { target: &target, port, protocol, http: None });
    decision.rule().filter(|rule| rule.effect == Effect::Deny).cloned()
}

/// Carries an edit out on one set of rules; gives what was added and removed.
fn apply(set: &mut RuleSet, prefix: &str, edit: RuleEdit) -> (Vec<NetworkRule>, Vec<NetworkRule>) {
    match edit {
        RuleEdit::Add(rules) => {
            let opposite = |mine: &NetworkRule| {
                rules.iter().any(|new| {
                    mine.host == new.host
                        && match (mine.effect == new.effect, new.effect) {
                            (true, _) => same(mine, new),
                            (false, Effect::Allow) => lifts(new, mine),
                            (false, _) => denies_all(new, mine),
                        }
                })
            };
            let removed = set.remove(opposite);
            let added = rules.iter().map(|rule| set.add(prefix, rule.clone()).clone()).collect();
            (added, removed)
        }
        RuleEdit::RemovePatterns(patterns) => (
            Vec::new(),
            set.remove(|rule| {
                let set = rule.set.as_ref();
                patterns.contains(&rule.pattern()) || set.is_some_and(|set| patterns.contains(set))
            }),
        ),
        RuleEdit::RemoveId(id) => (Vec::new(), set.remove(|rule| rule.id == id)),
        RuleEdit::Reset(preset) => {
            set.preset = preset;
            (Vec::new(), set.remove(|_| true))
        }
    }
}

/// Whether an allow takes a rule of the other kind with it: one that is written alike. A bare host means its usual port
/// in an allow and all of them in a deny, and is written alike all the same.
fn lifts(allow: &NetworkRule, other: &NetworkRule) -> bool {
    allow.host == other.host
        && allow.pattern() == other.pattern()
        && (other.protocol.is_none() || other.protocol == allow.protocol)
        && (other.http.is_empty() || other.http == allow.http)
}

/// Whether a deny leaves nothing of an allow, which is then only in the way of whoever takes the deny back.
fn denies_all(deny: &NetworkRule, allow: &NetworkRule) -> bool {
    deny.ports.first <= allow.ports.first
        && allow.ports.last <= deny.ports.last
        && (deny.protocol.is_none() || deny.protocol == allow.protocol)
        && (deny.http.is_empty() || deny.http == allow.http)
}

/// Whether two rules say the same: adding one again changes nothing but its place.
fn same(left: &NetworkRule, right: &NetworkRule) -> bool {
    (left.effect, left.ports, left.protocol, &left.http, left.addresses, left.during, left.until)
        == (
            right.effect,
            right.ports,
            right.protocol,
            &right.http,
            right.addresses,
            right.during,
            right.until,
        )
}

fn words(scope: &RuleScope, here: &Owner) -> String {
    match (scope, here) {
        (RuleScope::User, _) => "every sandbox of this user".to_owned(),
        (RuleScope::Here, Owner::Folder { .. }) => "the sandboxes of this folder".to_owned(),
        (RuleScope::Here, _) => "the sandboxes of this repository".to_owned(),
        (RuleScope::Sandbox(found), _) => format!("sandbox {}", found.desired.name),
    }
}

#[test]
fn an_allow_takes_only_the_deny_of_exactly_its_pattern_away() {
    use crate::model::rule::Ports;
    let rule = |effect: Effect, text: &str| {
        let (host, ports) = crate::model::pattern::parse(text).unwrap();
        let deny = effect == Effect::Deny;
        let value = json!({
            "id": "", "effect": effect, "host": host, "why": "test", "origin": { "layer": "user" },
            "ports": ports.unwrap_or(if deny { Ports::ALL } else { Ports::one(443) }),
            "protocol": (!deny).then_some(Protocol::Https), "addresses": "public",
        });
        serde_json::from_value::<NetworkRule>(value).unwrap()
    };
    let stays = |first: (Effect, &str), second: (Effect, &str)| {
        let mut set = RuleSet::default();
        let _ = apply(&mut set, "user", RuleEdit::Add(vec![rule(first.0, first.1)]));
        let (_, removed) = apply(&mut set, "user", RuleEdit::Add(vec![rule(second.0, second.1)]));
        removed.is_empty()
    };
    let (allow, deny) = (Effect::Allow, Effect::Deny);
    assert!(stays((deny, "a.example"), (allow, "a.example:8443")), "one port does not open all");
    assert!(!stays((deny, "a.example"), (allow, "a.example")));
    assert!(!stays((deny, "a.example:8443"), (allow, "a.example:8443")));
    assert!(stays((allow, "a.example"), (deny, "a.example:8443")));
    assert!(!stays((allow, "a.example"), (deny, "a.example")));
}
