//! Lists: one after the other, identical entries folded.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::Hash,
};

use super::{At, Join, Part, Placed, files, scalars};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, quoted},
        rule::{Rule, holds},
    },
    model::{
        desired::{Access, FileMerge, SetupStep},
        rule::HostService,
        secret::SecretBinding,
    },
};

/// Most bytes of files in one sandbox.
const FILES_MAX: usize = 8 << 20;

/// All lists of `parts`, put into `merged`.
pub(super) fn merge(merged: &mut Part, parts: &[&Part], join: Join, findings: &mut Findings) {
    merged.packages = fold(parts, |part| &part.packages, |name| name);
    merged.steps = fold(parts, |part| &part.steps, |step| &step.run);
    merged.create = fold(parts, |part| &part.create, step_key);
    merged.start_steps = fold(parts, |part| &part.start_steps, step_key);
    merged.mounts =
        fold(parts, |part| &part.mounts, |it| (&it.source, &it.target, it.access == Access::Write));
    merged.rules = fold(
        parts,
        |part| &part.rules,
        |it| (it.effect, &it.host, it.ports, it.protocol, &it.http, it.addresses),
    );
    merged.files = fold(
        parts,
        |part| &part.files,
        |it| (files::in_guest(&it.path), &it.content, it.merge == FileMerge::Json, it.mode, it.placeholders),
    );
    merged.ports = fold(parts, |part| &part.ports, |it| (it.guest, it.host, it.fixed));
    for part in parts {
        merged.locked.extend(part.locked.iter().cloned());
        merged.sets.extend(part.sets.iter().cloned());
        merged.requires.extend(part.requires.iter().cloned());
        merged.names.extend(part.names.iter().cloned());
    }
    let same = |a: &SecretBinding, b: &SecretBinding| {
        (&a.env, &a.placeholder, a.required, &a.inject) == (&b.env, &b.placeholder, b.required, &b.inject)
    };
    let named = Named { parts, join, field: "secrets" };
    merged.secrets = named.merge(|part| &part.secrets, |it| &it.name, same, findings);
    let same = |a: &HostService, b: &HostService| (a.port, &a.http) == (b.port, &b.http);
    let named = Named { parts, join, field: "network.hostServices" };
    merged.host_services = named.merge(|part| &part.host_services, |it| &it.name, same, findings);
    exclude(merged, findings);
}

/// The entries of all contributions, of identical ones the first.
fn fold<'a, T: Clone + 'a, K: Hash + Eq>(
    parts: &[&'a Part],
    pick: impl Fn(&'a Part) -> &'a Vec<Placed<T>>,
    key: impl Fn(&'a T) -> K,
) -> Vec<Placed<T>> {
    let mut seen = HashSet::new();
    let parts = scalars::speaking(parts, |part| !pick(part).is_empty(), Rule::Lists);
    let entries = parts.iter().flat_map(|part| pick(part));
    entries.filter(|entry| seen.insert(key(&entry.value)) || !holds(Rule::Folded)).cloned().collect()
}

fn step_key(step: &SetupStep) -> (&str, &str, u64, bool, Option<u16>) {
    (&step.name, &step.run, step.timeout_s, step.background, step.ready_port)
}

/// Reports one file or one port twice, and files that are too large together; keeps the first of each.
fn exclude(merged: &mut Part, findings: &mut Findings) {
    let mut total = 0;
    merged.files.retain(|file| {
        total += file.value.content.len();
        if total > FILES_MAX {
            let message = format!("the sandbox's files hold more than {} MiB together", FILES_MAX >> 20);
            let problem = file.at.problem(Code::TooLarge, message);
            findings.push(problem.help("fetch large files by a step of `setup.create`"));
        }
        total <= FILES_MAX
    });
    files::separate(&mut merged.files, findings, |file| Cow::Borrowed(&file.path));
    let mut numbers = HashMap::new();
    merged.ports.retain(|port| {
        let wanted = [Some(("guest", port.value.guest)), port.value.host.map(|host| ("host", host))];
        wanted
            .into_iter()
            .flatten()
            .all(|(side, number)| first(&mut numbers, (side, number), &port.at, findings))
    });
}

/// Whether a port of that side is new; else reports it.
fn first(
    seen: &mut HashMap<(&'static str, u16), At>,
    key: (&'static str, u16),
    at: &At,
    findings: &mut Findings,
) -> bool {
    match seen.get(&key) {
        Some(other) if holds(Rule::Once) => {
            let message = format!("the {} port {} is published twice", key.0, key.1);
            let problem = at.problem(Code::Port, message).label(format!("the other: {}", other.place()));
            findings.push(problem.help("keep one of the two"));
            false
        }
        _ => {
            seen.insert(key, at.clone());
            true
        }
    }
}

/// Lists of things with a name: by name, the last wins; two mixins must agree.
struct Named<'a, 'b> {
    parts: &'b [&'a Part],
    join: Join,
    field: &'static str,
}

impl<'a> Named<'a, '_> {
    fn merge<T: Clone + 'a>(
        &self,
        pick: impl Fn(&'a Part) -> &'a Vec<Placed<T>>,
        name: impl Fn(&'a T) -> &'a String,
        same: impl Fn(&T, &T) -> bool,
        findings: &mut Findings,
    ) -> Vec<Placed<T>> {
        let mut order = Vec::new();
        let mut said: HashMap<&String, Vec<(&'a Part, &'a Placed<T>)>> = HashMap::new();
        for part in self.parts {
            for entry in pick(part) {
                let all = said.entry(name(&entry.value)).or_default();
                if all.is_empty() {
                    order.push(name(&entry.value));
                }
                all.push((part, entry));
            }
        }
        let mut merged = Vec::with_capacity(order.len());
        for key in order {
            let said = said.remove(key).unwrap_or_default().into_iter();
            let (kept, clash) = scalars::last(said, self.join, |a, b| !same(&a.value, &b.value));
            if let Some((first, second)) = clash {
                let what = format!("say different things about {}", quoted(key));
                let problem = scalars::clash(&what, first, second);
                let help =
                    format!("say it under `{}` of the sandbox, or leave one of the two out", self.field);
                findings.push(problem.help(help));
            }
            merged.extend(kept.map(|(_, entry)| entry.clone()));
        }
        merged
    }
}
