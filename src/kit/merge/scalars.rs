//! Scalars and maps: the last one says it, and two mixins must agree.

use std::collections::BTreeMap;

use super::{Join, Part, Placed, Rank};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, quoted},
        rule::{Rule, holds},
    },
    model::desired::IsolationWish,
};

/// All scalars, and the environment.
pub(super) fn merge(parts: &[&Part], join: Join, findings: &mut Findings) -> Part {
    let mut last = Last { parts, join, findings };
    Part {
        start: last.of("start", |part| part.start.as_ref()),
        command: last.of("command.interactive", |part| part.command.as_ref()),
        task: last.of("command.task", |part| part.task.as_ref()),
        resume: last.of("command.resume", |part| part.resume.as_ref()),
        args: last.of("args", |part| part.args.as_ref()),
        tty: last.of("tty", |part| part.tty.as_ref()),
        image: last.of("template.image", |part| part.image.as_ref()),
        workspace: last.of("workspace.path", |part| part.workspace.as_ref()),
        mode: last.of("workspace.mode", |part| part.mode.as_ref()),
        working_dir: last.of("workingDir", |part| part.working_dir.as_ref()),
        prompt: last.of("task.prompt", |part| part.prompt.as_ref()),
        task_timeout: last.of("task.timeout", |part| part.task_timeout.as_ref()),
        preset: last.of("network.preset", |part| part.preset.as_ref()),
        cpus: last.of("resources.cpus", |part| part.cpus.as_ref()),
        memory: last.of("resources.memory", |part| part.memory.as_ref()),
        disk: last.of("resources.disk", |part| part.disk.as_ref()),
        isolation: strictest(parts),
        env: last.variables(),
        ..Part::default()
    }
}

/// Whoever demands hardware is heard.
fn strictest(parts: &[&Part]) -> Option<Placed<IsolationWish>> {
    let wishes = || parts.iter().filter_map(|part| part.isolation.as_ref());
    let hardware = wishes().find(|wish| wish.value == IsolationWish::Hardware);
    hardware.filter(|_| holds(Rule::Strictest)).or_else(|| wishes().next_back()).cloned()
}

struct Last<'a> {
    parts: &'a [&'a Part],
    join: Join,
    findings: &'a mut Findings,
}

impl<'a> Last<'a> {
    fn of<T: Clone + PartialEq + 'a>(
        &mut self,
        field: &str,
        pick: impl Fn(&'a Part) -> Option<&'a Placed<T>>,
    ) -> Option<Placed<T>> {
        let said = self.parts.iter().filter_map(|part| Some((*part, pick(part)?)));
        let (kept, clash) = last(said, self.join, |a, b| a.value != b.value);
        if let Some((first, second)) = clash {
            self.report(field, first, second);
        }
        kept.map(|(_, value)| value.clone())
    }

    fn variables(&mut self) -> BTreeMap<String, Placed<String>> {
        let mut merged = BTreeMap::new();
        let parts = speaking(self.parts, |part| !part.env.is_empty(), Rule::ByKey);
        for name in parts.iter().flat_map(|part| part.env.keys()) {
            if merged.contains_key(name) {
                continue;
            }
            let said = parts.iter().filter_map(|part| Some((*part, part.env.get(name)?)));
            let (kept, clash) = last(said, self.join, |a, b| holds(Rule::KeyOnce) || a.value != b.value);
            if let Some((first, second)) = clash {
                self.report(&format!("env.{name}"), first, second);
            }
            merged.extend(kept.map(|(_, value)| (name.clone(), value.clone())));
        }
        merged
    }

    fn report<T>(&mut self, field: &str, first: (&Part, &Placed<T>), second: (&Part, &Placed<T>)) {
        let problem = clash(&format!("both set {}", quoted(field)), first, second);
        self.findings.push(problem.help("say it in the sandbox, or leave one of the two out"));
    }
}

/// A contribution and one of its values.
type Said<'a, T> = (&'a Part, &'a Placed<T>);
/// Two mixins that say different things.
type Clash<'a, T> = (Said<'a, T>, Said<'a, T>);

/// The contributions that a row of the table looks at: all, and with the row left out the last that says something.
pub(super) fn speaking<'p, 'a>(
    parts: &'p [&'a Part],
    says: impl Fn(&'a Part) -> bool,
    row: Rule,
) -> &'p [&'a Part] {
    match parts.iter().rposition(|part| says(part)) {
        Some(last) if !holds(row) => &parts[last..=last],
        _ => parts,
    }
}

/// The last value, and two of mixins that clash where nothing after them decides.
pub(super) fn last<'a, T>(
    said: impl Iterator<Item = Said<'a, T>>,
    join: Join,
    differ: impl Fn(&Placed<T>, &Placed<T>) -> bool,
) -> (Option<Said<'a, T>>, Option<Clash<'a, T>>) {
    let mut kept: Option<Said<'a, T>> = None;
    let mut clash = None;
    for next in said {
        match kept {
            Some(before) if join == Join::Stack && next.0.rank == Rank::Mixin => {
                let apart = before.0.rank == Rank::Mixin && differ(before.1, next.1);
                clash = Some((before, next)).filter(|_| apart && holds(Rule::MixinsAgree)).or(clash);
            }
            _ if holds(Rule::SandboxSettles) => clash = None,
            _ => {}
        }
        kept = kept.filter(|_| !holds(Rule::LastWins)).or(Some(next));
    }
    (kept, clash)
}

/// A finding at the second of two places that names the first.
pub(super) fn clash<T>(
    what: &str,
    (first, at_first): Said<'_, T>,
    (second, at_second): Said<'_, T>,
) -> crate::kit::problem::Problem {
    let message = format!("{} ({}) and {} {what}", first.shown, at_first.at.place(), second.shown);
    at_second.at.problem(Code::Clash, message).label(format!("the other: {}", at_first.at.place()))
}
