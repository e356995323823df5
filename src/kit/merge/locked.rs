//! What a kit locks, nothing after it sets.

use super::{At, Part, Placed};
use crate::kit::{
    findings::Findings,
    problem::{Code, quoted},
    tree::{Kind, Node},
};

/// Reports what a later contribution sets although an earlier one has locked it.
pub(super) fn check(parts: &[&Part], findings: &mut Findings) {
    for (index, holder) in parts.iter().enumerate() {
        for lock in &holder.locked {
            for part in &parts[index + 1..] {
                let Some(set) = part.sets.iter().find(|set| touches(&set.value, &lock.value)) else {
                    continue;
                };
                let message =
                    format!("{} is locked by {} ({})", quoted(&set.value), holder.shown, lock.at.place());
                let problem = set.at.problem(Code::Locked, message).label("locked");
                findings
                    .push(problem.help("remove it here; to change it, fork the kit under a name of its own"));
            }
        }
    }
}

/// Whether setting `path` changes what `lock` names.
fn touches(path: &str, lock: &str) -> bool {
    let below = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    below(path, lock) || below(lock, path)
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
    #[test]
    fn a_lock_holds_what_lies_below_it_and_what_holds_it() {
        for (path, lock, expected) in [
            ("command", "command", true),
            ("command.interactive", "command", true),
            ("env", "env.A", true),
            ("env.AB", "env.A", false),
            ("command.task", "command.interactive", false),
        ] {
            assert_eq!(super::touches(path, lock), expected, "{path} {lock}");
        }
    }
}
