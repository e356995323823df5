//! Commands in the guest and in the machine that builds its template.

use std::collections::HashMap;

use super::{Here, text};
use crate::{
    kit::{
        findings::Findings,
        merge::Placed,
        problem::{Code, escaped, quoted},
        spanned::{Spanned, TextOr},
        wire::{
            guest::{self as wire, FullStep},
            text::Duration,
        },
    },
    model::desired::{BuildStep, SetupStep},
};

/// Longest time of a step that says nothing about it: an install over a slow line.
pub(in crate::kit) const TIMEOUT_S: u64 = 600;
/// Longest time that can be asked for: a day.
const TIMEOUT_MAX_S: u64 = 24 * 3600;
/// Longest name that is taken from a command, in characters.
const NAME_MAX: usize = 40;

/// Resolves the commands of a document.
pub(super) fn setup(
    written: &wire::Setup,
    here: &Here<'_>,
    findings: &mut Findings,
) -> (Vec<Placed<SetupStep>>, Vec<Placed<SetupStep>>) {
    let create = written.create.iter().filter_map(|step| one(step, here, findings)).collect::<Vec<_>>();
    for step in written.create.iter().filter(|step| is_background(step)) {
        let problem =
            findings.at(Code::WrongValue, step.span, "a step of `create` cannot run in the background");
        findings.push(problem.help("move it to `setup.start`: it begins at each start, after `create`"));
    }
    let start = written.start.iter().filter_map(|step| one(step, here, findings)).collect();
    refuse_same_names(&written.start, findings);
    (create, start)
}

/// Names tell the steps of each start apart in logs.
fn refuse_same_names(steps: &[wire::Step], findings: &mut Findings) {
    let mut names = HashMap::new();
    for step in steps {
        let TextOr::Full(FullStep { name: Some(name), .. }) = &step.value else { continue };
        if let Some(line) = names.insert(&name.value.0, name.span.line) {
            let message = format!("two steps of `setup.start` are named {}", quoted(&name.value.0));
            let problem = findings.at(Code::DuplicateName, name.span, message);
            findings.push(problem.label(format!("first on line {line}")).help("rename one of them"));
        }
    }
}

fn is_background(step: &wire::Step) -> bool {
    matches!(&step.value, TextOr::Full(step) if step.background.as_ref().is_some_and(|on| on.value))
}

fn one(step: &wire::Step, here: &Here<'_>, findings: &mut Findings) -> Option<Placed<SetupStep>> {
    let value = resolved(step, here, findings)?;
    Some(here.placed(value, step.span, findings))
}

fn resolved(step: &wire::Step, here: &Here<'_>, findings: &mut Findings) -> Option<SetupStep> {
    let full = match &step.value {
        TextOr::Text(run) => {
            let run = Spanned { value: run.clone(), span: step.span };
            return Some(SetupStep {
                name: name_of(&run),
                run: command(&run, findings)?,
                timeout_s: TIMEOUT_S,
                background: false,
                ready_port: None,
                origin: here.origin(step.span),
            });
        }
        TextOr::Full(full) => full,
    };
    let background = full.background.as_ref().is_some_and(|on| on.value);
    // Without `background` the schema refuses it.
    if let Some(ready) = full.ready.as_ref().filter(|_| full.background.is_some() && !background) {
        let problem =
            findings.at(Code::WrongValue, ready.span, "only a command in the background becomes ready");
        findings.push(problem.help("write `background: true`, or remove `ready`"));
    }
    Some(SetupStep {
        name: full.name.as_ref().map_or_else(|| name_of(&full.run), |name| name.value.0.clone()),
        run: command(&full.run, findings)?,
        timeout_s: full
            .timeout
            .as_ref()
            .map_or(Some(TIMEOUT_S), |written| timeout(written, "a command", findings))?,
        background,
        ready_port: full.ready.as_ref().map(|ready| ready.port),
        origin: here.origin(full.run.span),
    })
}

/// A command's text for a shell.
fn command(run: &Spanned<String>, findings: &mut Findings) -> Option<String> {
    text::refuse_expression(run, findings);
    // What is blank in ASCII, and NUL, the schema refuses.
    if run.trim().is_empty() {
        let problem = findings.at(Code::WrongValue, run.span, "a command cannot be empty");
        findings.push(problem.help("write a command for a shell, or remove the step"));
        return None;
    }
    Some(run.value.clone())
}

/// The first words of a command, as one line.
pub(in crate::kit) fn name_of(run: &str) -> String {
    let line = run.trim().lines().next().unwrap_or_default();
    let cut = line.char_indices().nth(NAME_MAX).map_or(line.len(), |(at, _)| at);
    escaped(line[..cut].trim_end())
}

/// A length of time of `of` in seconds, rounded up.
pub(super) fn timeout(written: &Spanned<Duration>, of: &str, findings: &mut Findings) -> Option<u64> {
    match written.value.seconds() {
        Some(seconds @ 1..=TIMEOUT_MAX_S) => Some(seconds),
        _ => {
            let message = format!("{} is no time for {of}", quoted(&written.value.0));
            let problem = findings.at(Code::WrongValue, written.span, message);
            findings.push(problem.help("write from 1s to 24h: 10m"));
            None
        }
    }
}

/// Resolves commands that change the root file system.
pub(super) fn build_steps(
    written: &[Spanned<String>],
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<BuildStep>> {
    let step = |run: &Spanned<String>, findings: &mut Findings| {
        let value = BuildStep { run: command(run, findings)?, origin: here.origin(run.span) };
        Some(here.placed(value, run.span, findings))
    };
    written.iter().filter_map(|run| step(run, findings)).collect()
}
