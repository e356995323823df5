//! The network part of a document: its rules, preset and services of the host.

use super::{Here, rule::Reading};
use crate::{
    kit::{
        findings::Findings,
        merge::Placed,
        problem::{Code, quoted},
        spanned::Spanned,
        wire::{network as wire, text::Until},
    },
    model::{
        desired,
        end::End,
        path, pattern,
        rule::{HostPattern, HostService, HttpMatch, NetworkRule},
    },
};

/// The network part of a document, resolved.
pub(super) struct Resolved {
    pub(super) rules: Vec<Placed<NetworkRule>>,
    pub(super) host_services: Vec<Placed<HostService>>,
}

/// Resolves the network part of a document. `id` begins the rules' ids.
pub(super) fn network(
    network: &wire::Network,
    id: &str,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Resolved {
    let rules = rules(&network.rules, id, here, findings);
    Resolved { rules, host_services: host_services(&network.host_services, here, findings) }
}

/// Resolves rules.
pub(super) fn rules(
    written: &[Spanned<wire::Rule>],
    id: &str,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<NetworkRule>> {
    let mut rules = Vec::new();
    for (index, rule) in written.iter().enumerate() {
        check_paths(&rule.http, findings);
        check_during(rule, findings);
        let id = format!("{id}/network.rules[{index}]");
        let until = end(rule.until.as_ref(), findings);
        Reading { rule, id, until, here, findings }.patterns(&mut rules);
    }
    rules
}

/// When a rule ends. A day that no calendar has is reported.
fn end(written: Option<&Spanned<Until>>, findings: &mut Findings) -> Option<End> {
    let written = written?;
    let end = written.value.0.parse::<End>();
    if let Err(error) = &end {
        let message = format!("{} is no day and no time", quoted(&written.value.0));
        findings.push(findings.at(Code::WrongValue, written.span, message).help(error.to_string()));
    }
    end.ok()
}

/// The preset that is meant.
pub(super) fn preset(preset: wire::Preset) -> desired::Preset {
    match preset {
        wire::Preset::Balanced => desired::Preset::Balanced,
        wire::Preset::Open => desired::Preset::Open,
        wire::Preset::LockedDown => desired::Preset::LockedDown,
    }
}

/// Reports a preset in a kit: how much is open to begin with is the sandbox's to say.
pub(super) fn refuse_preset(network: &wire::Network, findings: &mut Findings) {
    if let Some(preset) = &network.preset {
        let problem = findings.at(Code::WrongValue, preset.span, "a kit cannot set the preset");
        findings.push(
            problem.help("name the hosts that the kit needs under `rules`; the sandbox says which preset"),
        );
    }
}

fn host_services(
    services: &[Spanned<wire::HostService>],
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<HostService>> {
    let mut kept: Vec<Placed<HostService>> = Vec::new();
    for service in services {
        check_paths(&service.http, findings);
        let name = &service.name.value.0;
        if kept.iter().any(|other| other.value.name == *name) {
            let message = format!("the host service {} stands twice", quoted(name));
            let problem = findings.at(Code::DuplicateName, service.name.span, message);
            findings.push(problem.help("give one of them another name"));
            continue;
        }
        let value = HostService {
            until: None,
            name: name.clone(),
            port: service.port,
            http: requests(&service.http),
            why: service.why.0.clone(),
            origin: here.origin(service.name.span),
        };
        kept.push(here.placed(value, service.name.span, findings));
    }
    kept
}

pub(super) fn requests(requests: &[wire::Requests]) -> Vec<HttpMatch> {
    let texts = |request: &wire::Requests| HttpMatch {
        methods: request.methods.iter().map(|method| method.0.clone()).collect(),
        paths: request.paths.iter().map(|path| path.value.0.clone()).collect(),
    };
    requests.iter().map(texts).collect()
}

/// Reports a deny that would end: what is denied during set-up would then be allowed to the agent.
fn check_during(rule: &wire::Rule, findings: &mut Findings) {
    if let (Some(during), Some(_)) = (&rule.during, &rule.deny) {
        let problem = findings.at(Code::Rule, during.span, "a deny holds always, not during set-up only");
        findings.push(problem.label("here").help("remove `during`, or allow the host during set-up only"));
    }
}

/// Reports paths that no request has: requests are matched by their canonical path.
fn check_paths(requests: &[wire::Requests], findings: &mut Findings) {
    for path in requests.iter().flat_map(|request| &request.paths) {
        // A wildcard stands for plain characters.
        let plain = path.value.0.replace('*', "x");
        let message = format!("no request has a path like {}", quoted(&path.value.0));
        let canonical = path::canonical(&plain).filter(|plain| !plain.contains(['?', '#']));
        let help = match canonical {
            Some(canonical) if canonical == plain => continue,
            Some(canonical) => format!("its one spelling is {}", quoted(&canonical.replace("/x", "/*"))),
            None => {
                "dot segments, doubled slashes, `;`, `\\`, `?`, `#` and encoded slashes never stand in one"
                    .to_owned()
            }
        };
        findings.push(findings.at(Code::Rule, path.span, message).label("never").help(help));
    }
}

/// Reads `host:port` of an exact name, as `egress.resolve` and secrets name their hosts; 443 unless written.
pub(in crate::kit) fn resolve_target(text: &str) -> Result<(String, u16), pattern::PatternError> {
    match pattern::parse(text)? {
        (HostPattern::Exact(name), None) => Ok((name, 443)),
        (HostPattern::Exact(name), Some(ports)) if ports.first == ports.last => Ok((name, ports.first)),
        (HostPattern::Exact(_), Some(_)) => {
            let at = text.find(':').map_or(0, |at| at + 1);
            Err(pattern::PatternError { message: "one port is needed here, not several".to_owned(), at })
        }
        _ => {
            let message = "an exact host name is needed here, no wildcard and no address".to_owned();
            Err(pattern::PatternError { message, at: 0 })
        }
    }
}
