//! Secrets: where each is injected, what stands for it inside, and whether any rule lets it get there.

use std::collections::HashSet;

use crate::{
    kit::{
        findings::Findings,
        merge::{Part, Placed},
        near::{listed, similar},
        problem::{Code, Span, quoted},
        rule::{Rule, holds},
        spanned::Spanned,
        tree::{Kind, Node},
        wire::{
            secret as wire,
            text::{HeaderFormat, HeaderName, PlaceholderForm},
        },
    },
    model::{
        desired::Preset,
        rule::Origin,
        secret::{Injection, SecretBinding},
    },
};

use super::{Here, Services, env, network::resolve_target, reach::Reach, text};

/// Placeholder of a secret that says nothing about it.
const PLACEHOLDER: &str = "cofferdam-{alnum:32}";
/// Fewest random characters of a placeholder: it must not be met by chance, nor guessed.
const RANDOM_MIN: usize = 16;
/// Longest placeholder, expanded.
const RANDOM_MAX: usize = 512;
/// Headers that say who is asked, how long the message is or where it goes on: no place for a secret.
const FRAMING: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
];

/// A service, resolved.
#[derive(Debug, Clone)]
pub(in crate::kit) struct ServiceKit {
    env: Option<String>,
    placeholder: String,
    inject: Vec<Injection>,
    why: String,
}

impl ServiceKit {
    /// The hosts that take its secret, with their ports.
    pub(in crate::kit) fn hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        self.inject.iter().map(|place| (place.host.as_str(), place.port))
    }

    /// The variable that holds its key outside, and the placeholder inside.
    pub(in crate::kit) fn variable(&self) -> Option<&str> {
        self.env.as_deref()
    }

    /// Whether a binding is just this service's under its name, wherever it stands.
    pub(in crate::kit) fn is_all_of(&self, binding: &SecretBinding) -> bool {
        (&self.env, &self.placeholder, &self.inject) == (&binding.env, &binding.placeholder, &binding.inject)
            && binding.required
    }
}

/// Resolves a service's document.
pub(in crate::kit) fn service(spec: &wire::Service, findings: &mut Findings) -> Option<ServiceKit> {
    let inject: Option<Vec<_>> = spec
        .hosts
        .iter()
        .map(|host| injection(host, &spec.inject.header, spec.inject.format.as_ref(), findings))
        .collect();
    let env = spec.env.as_ref().map(|name| name.value.0.clone());
    if let Some(name) = &spec.env {
        env::refuse_reserved(&name.value.0, name.span, findings);
    }
    let placeholder = placeholder(spec.placeholder.as_ref(), findings)?;
    Some(ServiceKit { env, placeholder, inject: inject?, why: spec.why.0.clone() })
}

/// Resolves the secrets of a document.
pub(super) fn secrets(
    secrets: &[Spanned<wire::Secret>],
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<SecretBinding>> {
    let mut bound: Vec<Placed<SecretBinding>> = Vec::new();
    let mut names = HashSet::new();
    for secret in secrets {
        let (span, binding) = match &secret.value {
            wire::Secret::Service(name) => {
                (secret.span, by_service(name, secret.span, here.sets.services, findings))
            }
            wire::Secret::Custom(custom) => (custom.name.span, custom_secret(custom, findings)),
        };
        let Some(mut binding) = binding else { continue };
        binding.origin = here.origin(span);
        if !names.insert(binding.name.clone()) {
            let message = format!("the secret {} stands twice", quoted(&binding.name));
            let problem = findings.at(Code::DuplicateName, span, message);
            findings.push(problem.help("keep one of the two; `inject` may name several places"));
            continue;
        }
        bound.push(here.placed(binding, span, findings));
    }
    bound
}

/// Reports parts of services that nobody knows. That they are parts is not available yet, which the validator says.
pub(in crate::kit) fn check_parts(document: &Node, here: &Here<'_>, findings: &mut Findings) {
    let secrets = document.get("spec").and_then(|spec| spec.get("secrets"));
    let Some(Kind::List(items)) = secrets.map(|secrets| &secrets.kind) else { return };
    for item in items.iter().filter(|item| item.get("name").is_none()) {
        let Kind::Map(entries) = &item.kind else { continue };
        for (key, _) in entries.iter().filter(|(_, part)| matches!(part.kind, Kind::Map(_))) {
            by_service(&key.text, key.span, here.sets.services, findings);
        }
    }
}

fn by_service(name: &str, span: Span, services: &Services, findings: &mut Findings) -> Option<SecretBinding> {
    let Some(service) = services.get(name) else {
        if findings.is_full() {
            return None;
        }
        let known = || services.keys().map(String::as_str);
        let problem = findings.at(Code::UnknownName, span, format!("no service is named {}", quoted(name)));
        let help = match similar(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "known are {}; for another host write {{name: …, env: …, inject: [{{host: …, header: …}}], why: …}}",
                listed(known())
            ),
        };
        findings.push(problem.help(help));
        return None;
    };
    Some(SecretBinding {
        name: name.to_owned(),
        env: service.env.clone(),
        placeholder: service.placeholder.clone(),
        required: true,
        inject: service.inject.clone(),
        why: service.why.clone(),
        origin: nowhere(),
    })
}

fn custom_secret(custom: &wire::Custom, findings: &mut Findings) -> Option<SecretBinding> {
    let inject: Option<Vec<_>> = custom
        .inject
        .iter()
        .map(|place| injection(&place.host, &place.header, place.format.as_ref(), findings))
        .collect();
    if let Some(name) = &custom.env {
        env::refuse_reserved(&name.value.0, name.span, findings);
    }
    Some(SecretBinding {
        name: custom.name.value.0.clone(),
        env: custom.env.as_ref().map(|name| name.value.0.clone()),
        placeholder: placeholder(custom.placeholder.as_ref(), findings)?,
        required: custom.required.unwrap_or(true),
        inject: inject?,
        why: custom.why.0.clone(),
        origin: nowhere(),
    })
}

fn nowhere() -> Origin {
    Origin { layer: crate::model::rule::Layer::Repository, file: None, line: None }
}

fn injection(
    host: &Spanned<String>,
    header: &Spanned<HeaderName>,
    format: Option<&Spanned<HeaderFormat>>,
    findings: &mut Findings,
) -> Option<Injection> {
    let target = match resolve_target(host) {
        Ok(target) => Some(target),
        Err(error) => {
            let span = text::inside(findings, host, error.at);
            let message = format!("a secret cannot be bound to {}", quoted(host));
            findings.push(findings.at(Code::Secret, span, message).help(error.message));
            None
        }
    };
    let header_name = header.value.0.to_ascii_lowercase();
    if FRAMING.contains(&header_name.as_str()) {
        let message = format!("the header {} cannot carry a secret", quoted(&header_name));
        let problem = findings.at(Code::Secret, header.span, message);
        findings.push(problem.help("usual are authorization and x-api-key"));
        return None;
    }
    let written = format.map_or("{}", |format| format.value.0.as_str());
    if let Some(format) = format.filter(|format| format.value.0.matches("{}").count() > 1) {
        let problem = findings.at(Code::Secret, format.span, "a format holds the secret once");
        findings.push(problem.help("write one {}: \"Bearer {}\""));
        return None;
    }
    target.map(|(host, port)| Injection { host, port, header: header_name, format: written.to_owned() })
}

fn placeholder(form: Option<&Spanned<PlaceholderForm>>, findings: &mut Findings) -> Option<String> {
    let Some(form) = form else { return Some(PLACEHOLDER.to_owned()) };
    match random_characters(&form.value.0) {
        Ok(random) if (RANDOM_MIN..=RANDOM_MAX).contains(&random) => Some(form.value.0.clone()),
        Ok(random) => {
            let message = format!(
                "a placeholder has {RANDOM_MIN} to {RANDOM_MAX} random characters, this one {random}"
            );
            findings
                .push(findings.at(Code::Secret, form.span, message).help("write {alnum:32} for 32 of them"));
            None
        }
        Err(help) => {
            let message = "this form of a placeholder does not read";
            findings.push(findings.at(Code::Secret, form.span, message).help(help));
            None
        }
    }
}

/// How many random characters a form asks for.
fn random_characters(form: &str) -> Result<usize, &'static str> {
    const FORM: &str = "in braces stands alnum:N or hex:N";
    let mut random = 0_usize;
    let mut rest = form;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').ok_or("a brace is not closed")?;
        let (kind, count) = inside.split_once(':').ok_or(FORM)?;
        if before.contains('}')
            || !["alnum", "hex"].contains(&kind)
            || !count.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(FORM);
        }
        random = random.saturating_add(count.parse::<usize>().map_err(|_| FORM)?);
        rest = after;
    }
    if rest.contains('}') { Err(FORM) } else { Ok(random) }
}

/// Reports secrets that no rule lets reach a host they are bound to: they could never be used.
pub(super) fn check_reachable(merged: &Part, findings: &mut Findings) {
    // What `balanced` allows is the policy's to know; `open` allows every public name.
    if merged.preset.as_ref().is_some_and(|preset| preset.value != Preset::LockedDown) {
        return;
    }
    let reach = Reach::of(&merged.rules);
    for Placed { value: binding, at } in &merged.secrets {
        if binding.inject.iter().any(|place| reach.allows(&place.host, place.port))
            || !holds(Rule::SecretReaches)
        {
            continue;
        }
        let Some(place) = binding.inject.first() else { continue };
        let target = format!("{}:{}", place.host, place.port);
        let message =
            format!("no rule allows {target}, so the secret {} could never be used", quoted(&binding.name));
        let protocol = if place.port == 443 { "" } else { ", protocol: https" };
        let help = format!("add under network.rules: - {{allow: \"{target}\"{protocol}, why: …}}");
        findings.push(at.problem(Code::Secret, message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_placeholders() {
        assert_eq!(random_characters("sk-{alnum:20}-{hex:12}x"), Ok(32));
        assert_eq!(random_characters("plain"), Ok(0));
        for bad in
            ["{alnum}", "{digits:4}", "{alnum:4", "a}b", "{alnum:-1}", "{alnum:99999999999999999999}", "{}"]
        {
            assert!(random_characters(bad).is_err(), "{bad}");
        }
    }
}
