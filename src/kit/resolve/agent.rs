//! Agents: a kit's document resolved once, then found by name.

use std::collections::BTreeMap;

use super::{
    Here, Library, env,
    guest::{self, Placed},
    network,
    secret::{self, Bound},
    setup,
    text::{self, Stands},
};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, Span, quoted},
        sets::{Facts, Sets},
        spanned::Spanned,
        validate::similar,
        wire::agent as wire,
    },
    model::desired::{BuildStep, File, Network, Port},
};

/// Agents that are planned: a name that is spelt right deserves a better answer than "unknown".
const PLANNED: [&str; 7] = ["claude", "codex", "copilot", "docker-agent", "gemini", "kiro", "opencode"];

/// An agent's kit, resolved.
#[derive(Debug, Clone)]
pub(in crate::kit) struct AgentKit {
    pub(super) command: Vec<String>,
    pub(super) task: Option<Vec<String>>,
    pub(super) resume: Option<Vec<String>>,
    pub(super) image: Option<Spanned<String>>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) network: Network,
    pub(super) secrets: Vec<Bound>,
    pub(super) packages: Vec<(String, Span)>,
    pub(super) steps: Vec<BuildStep>,
    pub(super) files: Vec<Placed<File>>,
    pub(super) ports: Vec<Placed<Port>>,
}

/// Resolves an agent's document.
pub(in crate::kit) fn agent(
    name: &str,
    spec: &wire::Agent,
    here: &Here<'_>,
    library: &Library,
    facts: Facts<'_>,
    findings: &mut Findings,
) -> AgentKit {
    network::refuse_preset(&spec.network, findings);
    let sets = Sets { services: &library.services, facts };
    let command = &spec.command;
    let mut steps = setup::build_steps(&spec.install, here, findings);
    steps.extend(setup::build_steps(&spec.template.run, here, findings));
    AgentKit {
        command: words(&command.interactive, Stands::Word, findings),
        task: command.task.as_ref().map(|task| task_words(task, findings)),
        resume: command.resume.as_ref().map(|resume| words(resume, Stands::Word, findings)),
        image: spec.template.image.clone(),
        env: env::variables(&spec.env, findings),
        network: network::network(&spec.network, name, here.name, &sets, findings),
        secrets: secret::secrets(&spec.secrets, library, &|line| here.origin(line), findings),
        packages: setup::packages(&spec.template.packages),
        steps,
        files: guest::files(&spec.files, here, findings),
        ports: guest::ports(&spec.ports, here, findings),
    }
}

/// The words of a task's command, one of which must take the prompt.
fn task_words(task: &[Spanned<String>], findings: &mut Findings) -> Vec<String> {
    let resolved = words(task, Stands::TaskWord, findings);
    if let Some(first) = task.first().filter(|_| !resolved.iter().any(|word| text::has_prompt(word))) {
        let problem =
            findings.at(Code::MissingKey, first.span, "the command of a task does not take the prompt");
        findings.push(problem.help("write `${{ task.prompt }}` as one of its words"));
    }
    resolved
}

/// The kit that a sandbox names.
pub(super) fn find<'a>(
    name: &Spanned<String>,
    library: &'a Library,
    findings: &mut Findings,
) -> Option<&'a AgentKit> {
    if let Some(kit) = library.agents.get(&name.value) {
        return Some(kit);
    }
    let known = || library.agents.keys().map(String::as_str);
    let listed = || known().collect::<Vec<_>>().join(", ");
    let problem = if PLANNED.contains(&name.as_str()) {
        let message = format!("the agent {} is not available yet", quoted(name));
        findings.at(Code::NotAvailable, name.span, message).help(format!("available: {}", listed()))
    } else {
        let problem =
            findings.at(Code::UnknownName, name.span, format!("no agent is named {}", quoted(name)));
        match similar(name, known().chain(PLANNED)) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("available: {}", listed())),
        }
    };
    findings.push(problem);
    None
}

/// A command's words, checked.
pub(super) fn words(words: &[Spanned<String>], stands: Stands, findings: &mut Findings) -> Vec<String> {
    for word in words {
        text::refuse_nul(word, findings);
    }
    if let Some(program) = words.first().filter(|program| program.is_empty()) {
        let problem = findings.at(Code::WrongValue, program.span, "a program's name cannot be empty");
        findings.push(problem);
    }
    words.iter().map(|word| text::expressions(word, stands, findings)).collect()
}
