//! The difference between what two commits define. No host and no machine is looked at, so nothing of it is there
//! already: what a field grants that is fixed when a sandbox is made (the workspace) counts like any other grant, for
//! every new sandbox and every other clone gets it. A definition that nothing is made of by itself counts, too.

use std::collections::BTreeMap;

use super::{
    Action, Class, Plan, Planned, Reason, fields,
    grant::{GrantSet, Ground, granted},
    make::{bare, noted},
};
use crate::model::{
    desired::{Sandbox, Start},
    name::Name,
};

/// Compares what `before` defines with what `after` does.
#[must_use]
pub fn compare(ground: Ground, before: &[Sandbox], after: &[Sandbox]) -> Plan {
    let old: BTreeMap<&Name, &Sandbox> = before.iter().map(|it| (&it.name, it)).collect();
    let new: BTreeMap<&Name, &Sandbox> = after.iter().map(|it| (&it.name, it)).collect();
    let gone = old.values().filter(|it| !new.contains_key(&it.name)).map(|it| gone(it, &ground));
    let there = new.values().map(|it| match old.get(&it.name) {
        Some(before) => changed(before, it, &ground),
        None => first(it, &ground),
    });
    let steps = gone.chain(there).collect();
    Plan { ground, steps, registries: BTreeMap::new() }
}

fn first(wanted: &Sandbox, ground: &Ground) -> Planned {
    let mut planned = bare(wanted.name.clone(), Action::Create);
    planned.grants = noted(&set(wanted, ground), &granted(wanted, ground));
    if wanted.start == Start::OnDemand {
        planned.reasons.push(Reason::StartOnDemand);
    }
    planned
}

fn gone(before: &Sandbox, ground: &Ground) -> Planned {
    let mut planned = bare(before.name.clone(), Action::Orphan);
    planned.narrows = noted(&set(before, ground), &granted(before, ground));
    planned.reasons.push(Reason::Orphaned);
    planned
}

fn changed(before: &Sandbox, after: &Sandbox, ground: &Ground) -> Planned {
    let mut planned = bare(after.name.clone(), Action::Nothing);
    let (old, new) = (set(before, ground), set(after, ground));
    planned.grants = noted(&old.missing(&new), &granted(after, ground));
    planned.narrows = noted(&new.missing(&old), &granted(before, ground));
    planned.changes = fields::changes(&fields::in_order(before), &fields::in_order(after));
    // Another commit has another name, and other lines. That is no change of what it says.
    planned.changes.retain(|change| change.field != "provenance");
    let fixed = planned.changes.iter().filter(|change| change.class == Class::CreateOnly);
    planned.reasons = fixed.map(|change| Reason::ForNew { field: change.field.to_string() }).collect();
    let classes = planned.changes.iter().map(|change| change.class);
    planned.action = match classes.filter(|class| *class != Class::CreateOnly).max() {
        Some(Class::Live) => Action::UpdateLive,
        Some(Class::Restart) => Action::Restart,
        Some(Class::Replace) => Action::Replace,
        Some(Class::CreateOnly) | None => Action::Nothing,
    };
    if planned.changes.is_empty() {
        planned.reasons.push(Reason::InSync);
    }
    planned
}

fn set(sandbox: &Sandbox, ground: &Ground) -> GrantSet {
    granted(sandbox, ground).into_iter().map(|granted| granted.grant).collect()
}
