//! Makes the plan. One snapshot in, one plan out; the order of documents and records changes nothing.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use super::{
    Action, Class, Observed,
    facts::{Rejected, Unbuilt},
    fields,
    grant::{Grant, GrantSet, Granted, Ground, Held, Restricted, Source, Waits, granted, restrict_by},
    snapshot::{Noted, Plan, PlanInput, Planned, Reason},
};
use crate::model::{
    desired::{Sandbox, Start},
    name::Name,
    rule::NetworkRule,
    status::Phase,
};

/// Plans everything that the input speaks of.
#[must_use]
pub fn make(input: &PlanInput) -> Plan {
    let desired: BTreeMap<&Name, &Sandbox> =
        input.desired.iter().map(|wanted| (&wanted.name, wanted)).collect();
    let observed: HashMap<&Name, &Observed> =
        input.observed.iter().map(|observed| (&observed.recorded.name, observed)).collect();
    let planner = Planner { input, ports: ports(&input.observed) };
    let mut gone: Vec<Planned> = input
        .observed
        .iter()
        .filter(|observed| {
            !desired.contains_key(&observed.recorded.name) && input.defined(&observed.recorded)
        })
        .map(|observed| planner.orphan(observed))
        .collect();
    gone.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    let others = desired.values().map(|wanted| {
        let mut planned = match observed.get(&wanted.name) {
            Some(observed) => planner.existing(wanted, observed),
            None => planner.new_one(wanted),
        };
        if let Some(facts) = input.facts.get(&wanted.name) {
            planned.meet(facts);
        }
        planned
    });
    let mut steps = gone;
    steps.extend(others);
    Plan { ground: input.ground.clone(), steps, registries: input.registries.clone() }
}

impl PlanInput {
    /// Whether the files that were read would define it: what a command line made is nobody's orphan.
    fn defined(&self, recorded: &Sandbox) -> bool {
        let file = recorded.provenance.file.as_ref();
        file.is_some_and(|file| self.scope.iter().any(|scope| file.starts_with(scope)))
    }
}

/// Who has which port of the host.
fn ports(observed: &[Observed]) -> HashMap<u16, Vec<&Name>> {
    let mut ports: HashMap<u16, Vec<&Name>> = HashMap::new();
    for it in observed {
        for port in &it.ports {
            ports.entry(*port).or_default().push(&it.recorded.name);
        }
    }
    ports
}

struct Planner<'a> {
    input: &'a PlanInput,
    ports: HashMap<u16, Vec<&'a Name>>,
}

impl Planner<'_> {
    fn ground(&self) -> &Ground {
        &self.input.ground
    }

    fn restricted<'s>(&self, wanted: &'s Sandbox) -> Restricted<'s> {
        let approvals = &self.input.approvals;
        let own = approvals.definitions.get(&wanted.name).into_iter().flat_map(Held::sources);
        let sets: Vec<Source<'_>> = own.chain([(None, &approvals.baseline)]).collect();
        restrict_by(wanted, &sets, self.ground())
    }

    /// What the file says now: without the rules that have ended, each with a word about it.
    fn current<'s>(&self, wanted: &'s Sandbox) -> (Cow<'s, Sandbox>, Vec<Reason>) {
        let over = |rule: &NetworkRule| {
            let until = rule.until?;
            until.is_over(self.input.at?).then_some(until)
        };
        let ended = |rule: &NetworkRule| {
            let (pattern, origin) = (rule.pattern(), rule.origin.clone());
            over(rule).map(|until| Reason::RuleEnded { pattern, until, origin })
        };
        let reasons: Vec<Reason> = wanted.network.rules.iter().filter_map(ended).collect();
        if reasons.is_empty() {
            return (Cow::Borrowed(wanted), reasons);
        }
        let mut current = wanted.clone();
        current.network.rules.retain(|rule| over(rule).is_none());
        (Cow::Owned(current), reasons)
    }

    fn new_one(&self, wanted: &Sandbox) -> Planned {
        let (wanted, ended) = self.current(wanted);
        let wanted = wanted.as_ref();
        let Restricted { sandbox, parked, waits } = self.restricted(wanted);
        let mut planned = bare(wanted.name.clone(), Action::Create);
        planned.reasons = ended;
        self.leave_out(&mut planned, &parked, wanted);
        if wanted.start == Start::OnDemand {
            planned.action = Action::Nothing;
            planned.reasons.push(Reason::StartOnDemand);
        } else if let Some(waits) = waits {
            planned.action = Action::Nothing;
            planned.reasons.push(self.blocked(&wanted.name, &parked, waits));
        } else {
            planned.reasons.extend(left_out(&planned));
            planned.grants = self.noted(&self.set(&sandbox), &sandbox);
            planned.wanted = Some(Box::new(sandbox.into_owned()));
        }
        planned
    }

    fn existing(&self, wanted: &Sandbox, observed: &Observed) -> Planned {
        let mut planned = bare(wanted.name.clone(), Action::Nothing);
        planned.id = Some(observed.id.clone());
        planned.generation = Some(observed.generation);
        planned.sessions = self.input.sessions.get(&observed.id).copied().unwrap_or_default();
        if self.input.suspended.contains(&observed.id) {
            planned.reasons.push(Reason::Suspended);
            return planned;
        }
        planned.reasons.extend(self.moved(&observed.recorded, wanted));
        let (mut wanted, ended) = self.current(wanted);
        planned.reasons.extend(ended);
        // Nobody is asked about what cannot change: it stays as it is, and that has to be approved.
        let fixed = fields::fixed(&observed.recorded, &wanted);
        for field in &fixed {
            fields::take(wanted.to_mut(), &observed.recorded, field);
        }
        let Restricted { mut sandbox, parked, waits } = self.restricted(&wanted);
        self.leave_out(&mut planned, &parked, &wanted);
        let mut still = None;
        if waits.is_some() {
            // What cannot be left out stays as it is, where that is approved.
            fields::take(sandbox.to_mut(), &observed.recorded, "isolation");
            let kept = self.restricted(&sandbox);
            still = kept.waits.map(|waits| self.blocked(&wanted.name, &kept.parked, waits));
        }
        let waits = still.is_some();
        planned.reasons.extend(still.or_else(|| left_out(&planned)));
        let stays = |field: &str| Reason::CreateOnly { field: field.to_owned() };
        planned.reasons.extend(fixed.into_iter().map(stays));
        if waits { planned } else { self.settle(planned, sandbox, observed) }
    }

    /// Sorts what is left out into what waits and what was refused.
    fn leave_out(&self, planned: &mut Planned, parked: &GrantSet, wanted: &Sandbox) {
        for asked in self.noted(parked, wanted) {
            match self.input.refusal(&planned.name, &asked.grant) {
                Some(answer) => planned.rejected.push(Rejected { asked, answer: answer.clone() }),
                None => planned.parked.push(asked),
            }
        }
    }

    /// Why nothing of it is done: what was refused keeps it longer than what waits.
    fn blocked(&self, name: &Name, parked: &GrantSet, waits: Waits) -> Reason {
        let refused = |waits: &Waits| self.input.refusal(name, waits.grant()).is_some();
        match parked.grants().iter().filter_map(Waits::of).find(refused) {
            Some(waits) => Reason::Refused { waits },
            None => Reason::WaitingForApproval { waits },
        }
    }

    /// That another file defines it now.
    fn moved(&self, recorded: &Sandbox, wanted: &Sandbox) -> Option<Reason> {
        let (from, to) = (&recorded.provenance.file, &wanted.provenance.file);
        let shown = |file: &PathBuf| {
            file.strip_prefix(&self.ground().root).unwrap_or(file).to_string_lossy().into_owned()
        };
        let reason =
            || Reason::DefinitionMoved { from: from.as_ref().map(shown), to: to.as_ref().map(shown) };
        (from != to).then(reason)
    }

    /// What is done now, and what of it waits.
    fn settle(&self, mut planned: Planned, mut sandbox: Cow<'_, Sandbox>, observed: &Observed) -> Planned {
        let mut changes = fields::changes(&observed.recorded, &sandbox);
        let runs = matches!(observed.phase, Phase::Starting | Phase::Running);
        if !runs && sandbox.start == Start::OnDemand && observed.unfinished.is_none() {
            planned.changes = changes;
            planned.reasons.push(Reason::StartOnDemand);
            return planned;
        }
        let mut action = self.action(&changes, &sandbox, observed, runs);
        let unknown = self.input.silent.contains(&observed.id);
        let busy = (planned.sessions > 0 || unknown) && runs && !self.input.now;
        if busy && matches!(action, Action::Restart | Action::Replace) {
            planned.reasons.push(match unknown {
                true => Reason::SessionsUnknown { then: action },
                false => Reason::Busy { sessions: planned.sessions, then: action },
            });
            fields::hold(sandbox.to_mut(), &observed.recorded, Class::Restart);
            changes.retain(|change| change.class == Class::Live);
            // Who takes a port stops first, and this one does not stop: what it gives up it gives up at once.
            let taken = self.taken(&observed.recorded.name);
            if super::takes_a_port(&sandbox, observed, &taken) {
                sandbox.to_mut().ports.retain(|port| !super::is_taken(port, observed, &taken));
                changes.retain(|change| change.field != "ports" || sandbox.ports != observed.recorded.ports);
            }
            // What an interrupted pass has recorded may not be in force yet.
            let idle = changes.is_empty() && observed.unfinished.is_none();
            action = if idle { Action::Nothing } else { Action::UpdateLive };
        } else if action != Action::Nothing && changes.is_empty() && observed.unfinished.is_some() {
            planned.reasons.push(Reason::Unfinished);
        }
        planned.action = action;
        planned.changes = changes;
        if action == Action::Nothing {
            if planned.reasons.iter().all(|reason| matches!(reason, Reason::RuleEnded { .. })) {
                planned.reasons.push(Reason::InSync);
            }
            return planned;
        }
        if !planned.changes.is_empty() {
            let (before, after) = (self.set(&observed.recorded), self.set(&sandbox));
            planned.grants = self.noted(&before.missing(&after), &sandbox);
            planned.narrows = self.noted(&after.missing(&before), &observed.recorded);
        }
        planned.wanted = Some(Box::new(sandbox.into_owned()));
        planned
    }

    fn action(&self, changes: &[super::Change], wanted: &Sandbox, observed: &Observed, runs: bool) -> Action {
        super::action(changes, wanted, observed, runs, &self.taken(&wanted.name))
    }

    /// Whether another sandbox has a port of the host.
    fn taken(&self, but: &Name) -> impl Fn(u16) -> bool {
        move |port| self.ports.get(&port).is_some_and(|names| names.iter().any(|name| *name != but))
    }

    fn orphan(&self, observed: &Observed) -> Planned {
        let mut planned = bare(observed.recorded.name.clone(), super::orphaned(observed, self.input.prune));
        planned.id = Some(observed.id.clone());
        planned.generation = Some(observed.generation);
        planned.sessions = self.input.sessions.get(&observed.id).copied().unwrap_or_default();
        planned.reasons.push(Reason::Orphaned);
        if self.input.suspended.contains(&observed.id) {
            planned.action = Action::Nothing;
            planned.reasons = vec![Reason::Suspended];
        }
        planned
    }

    fn set(&self, sandbox: &Sandbox) -> GrantSet {
        granted(sandbox, self.ground()).into_iter().map(|granted| granted.grant).collect()
    }

    /// Grants with the reason and the place that `sandbox` gives for them.
    fn noted(&self, grants: &GrantSet, sandbox: &Sandbox) -> Vec<Noted> {
        if grants.is_empty() {
            return Vec::new();
        }
        noted(grants, &granted(sandbox, self.ground()))
    }
}

/// That the rest is done without what waits or was refused.
fn left_out(planned: &Planned) -> Option<Reason> {
    match (planned.parked.is_empty(), planned.rejected.is_empty()) {
        (false, _) => Some(Reason::Parked),
        (true, false) => Some(Reason::Rejected),
        (true, true) => None,
    }
}

/// Grants with their reason and place.
pub(super) fn noted(grants: &GrantSet, sources: &[Granted<'_>]) -> Vec<Noted> {
    let source = |grant: &Grant| {
        let whole = sources.iter().find(|source| source.grant.covers(grant));
        // One that was folded of several rules has the place of the first.
        whole.or_else(|| sources.iter().find(|source| grant.covers(&source.grant)))
    };
    let note = |grant: &Grant| {
        let source = source(grant);
        let origin = source.and_then(|source| source.origin);
        Noted {
            grant: grant.clone(),
            why: source.map(|source| source.why.to_owned()).unwrap_or_default(),
            file: origin.and_then(|origin| origin.file.clone()),
            line: origin.and_then(|origin| origin.line),
        }
    };
    grants.grants().iter().map(note).collect()
}

pub(super) fn bare(name: Name, action: Action) -> Planned {
    Planned {
        name,
        id: None,
        generation: None,
        action,
        changes: Vec::new(),
        wanted: None,
        grants: Vec::new(),
        narrows: Vec::new(),
        parked: Vec::new(),
        rejected: Vec::new(),
        lacks: Vec::new(),
        builds: Unbuilt::default(),
        reasons: Vec::new(),
        sessions: 0,
    }
}
