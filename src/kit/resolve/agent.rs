//! Agents: a kit's document resolved once, then found by name.

use std::collections::BTreeMap;

use super::{
    Library, env, network,
    secret::{self, Bound},
    text,
};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, quoted},
        sets::{Facts, Sets},
        spanned::Spanned,
        validate::similar,
        wire::agent as wire,
    },
    model::{
        desired::Network,
        rule::{Layer, Origin},
    },
};

/// Agents that are planned: a name that is spelt right deserves a better answer than "unknown".
const PLANNED: [&str; 7] = ["claude", "codex", "copilot", "docker-agent", "gemini", "kiro", "opencode"];

/// An agent's kit, resolved.
#[derive(Debug, Clone)]
pub(in crate::kit) struct AgentKit {
    pub(super) command: Vec<String>,
    pub(super) image: Option<Spanned<String>>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) network: Network,
    pub(super) secrets: Vec<Bound>,
}

/// Resolves an agent's document. `file` is where its rules stand, as policy and audit will show it.
pub(in crate::kit) fn agent(
    name: &str,
    spec: &wire::Agent,
    file: &str,
    library: &Library,
    facts: Facts<'_>,
    findings: &mut Findings,
) -> AgentKit {
    network::refuse_preset(&spec.network, findings);
    let sets = Sets { services: &library.services, facts };
    let origin = |line| Origin { layer: Layer::Repository, file: Some(file.to_owned()), line: Some(line) };
    AgentKit {
        command: words(&spec.command.interactive, findings),
        image: spec.template.image.clone(),
        env: env::variables(&spec.env, findings),
        network: network::network(&spec.network, name, file, &sets, findings),
        secrets: secret::secrets(&spec.secrets, library, &origin, findings),
    }
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
pub(super) fn words(words: &[Spanned<String>], findings: &mut Findings) -> Vec<String> {
    for word in words {
        text::refuse_expression(word, findings);
        text::refuse_nul(word, findings);
    }
    if let Some(program) = words.first().filter(|program| program.is_empty()) {
        let problem = findings.at(Code::WrongValue, program.span, "a program's name cannot be empty");
        findings.push(problem);
    }
    words.iter().map(|word| word.value.clone()).collect()
}
