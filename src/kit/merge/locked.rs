//! What a kit locks, nothing after it sets.

use std::collections::HashSet;

use super::{At, Part, Placed};
use crate::kit::{
    findings::Findings,
    problem::{Code, quoted},
    rule::{Rule, holds},
    tree::{Kind, Node},
};

/// Reports what a later contribution sets although an earlier one has locked it: of each lock in each contribution the
/// first.
pub(super) fn check(parts: &[&Part], findings: &mut Findings) {
    if !holds(Rule::Locked) {
        return;
    }
    for (index, holder) in parts.iter().enumerate().filter(|(_, holder)| !holder.locked.is_empty()) {
        let mut seen = HashSet::new();
        let locks: Vec<_> = holder.locked.iter().filter(|lock| seen.insert(&lock.value)).collect();
        for part in &parts[index + 1..] {
            let sets = Sets::of(part);
            for lock in &locks {
                let Some(set) = sets.touched_by(&lock.value) else { continue };
                let message =
                    format!("{} is locked by {} ({})", quoted(&set.value), holder.shown, lock.at.place());
                let problem = set.at.problem(Code::Locked, message).label("locked");
                findings
                    .push(problem.help("remove it here; to change it, fork the kit under a name of its own"));
            }
        }
    }
}

/// What a contribution sets, in the order of the paths: a file may set as much as it likes, and another lock it.
struct Sets<'a>(Vec<&'a Placed<String>>);

impl<'a> Sets<'a> {
    fn of(part: &'a Part) -> Self {
        let mut sets: Vec<_> = part.sets.iter().collect();
        sets.sort_by_key(|set| &set.value);
        Self(sets)
    }

    /// The first in its file that changes what `lock` names: the same, something below it, or something around it.
    fn touched_by(&self, lock: &str) -> Option<&'a Placed<String>> {
        let inner = format!("{lock}.");
        let below = self.from(&inner).iter().take_while(|set| set.value.starts_with(&inner));
        let around = lock.match_indices('.').flat_map(|(end, _)| self.same(&lock[..end]));
        below.chain(around).chain(self.same(lock)).min_by_key(|set| set.at.span.start).copied()
    }

    fn from(&self, path: &str) -> &[&'a Placed<String>] {
        &self.0[self.0.partition_point(|set| set.value.as_str() < path)..]
    }

    fn same(&self, path: &str) -> &[&'a Placed<String>] {
        let from = self.from(path);
        &from[..from.partition_point(|set| set.value == path)]
    }
}

/// What a document's `spec` sets: dotted paths down to lists and plain values, named as an agent's kit names them.
pub(in crate::kit) fn set_paths(spec: &Node, of_sandbox: bool, at: &At) -> Vec<Placed<String>> {
    let mut found = Vec::new();
    let Kind::Map(entries) = &spec.kind else { return found };
    for (key, node) in entries {
        let name = match (key.text.as_str(), of_sandbox) {
            ("args" | "extends" | "locked" | "requires", false) | ("agent" | "kits", true) => continue,
            ("args", true) => "command.args",
            ("command", true) => "command.interactive",
            (name, _) => name,
        };
        collect(name.to_owned(), key.span, node, at, &mut found);
    }
    found
}

fn collect(
    path: String,
    span: crate::kit::problem::Span,
    node: &Node,
    at: &At,
    found: &mut Vec<Placed<String>>,
) {
    match &node.kind {
        Kind::Map(entries) if !entries.is_empty() => {
            for (key, node) in entries {
                collect(format!("{path}.{}", key.text), key.span, node, at, found);
            }
        }
        _ => found.push(Placed { value: path, at: At { span, ..at.clone() } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kit::problem::{Source, Span},
        model::rule::Layer,
    };

    #[test]
    fn a_lock_holds_what_lies_below_it_and_what_holds_it() {
        let at = At { source: Source::new("kit.yaml", ""), span: Span::default(), layer: Layer::Repository };
        for (path, lock, expected) in [
            ("command", "command", true),
            ("command.interactive", "command", true),
            ("env", "env.A", true),
            ("env.AB", "env.A", false),
            ("env.A-B", "env.A", false),
            ("command.task", "command.interactive", false),
        ] {
            let others = ["a", "command-line", "env-", "zz"].map(str::to_owned);
            let sets = others.into_iter().chain([path.to_owned()]);
            let sets = sets.map(|value| Placed { value, at: at.clone() }).collect();
            let part = Part { sets, ..Part::default() };
            let found = Sets::of(&part).touched_by(lock).map(|set| set.value.as_str());
            assert_eq!(found, expected.then_some(path), "{path} {lock}");
        }
    }
}
