//! Presets as rules.

use crate::model::{
    desired::Preset,
    rule::{Addresses, During, Effect, HostPattern, HttpMatch, NetworkRule, Origin, Ports, Protocol},
};

/// Hosts that serve models. No registry of packages stands here: those are found on each host (`KIT.md`).
const MODELS: [&str; 9] = [
    "api.anthropic.com",
    "api.openai.com",
    "generativelanguage.googleapis.com",
    "api.mistral.ai",
    "api.groq.com",
    "api.deepseek.com",
    "api.x.ai",
    "api.cohere.com",
    "openrouter.ai",
];

/// Hosts that serve code.
const CODE: [&str; 8] = [
    "github.com",
    "api.github.com",
    "codeload.github.com",
    "raw.githubusercontent.com",
    "objects.githubusercontent.com",
    "gitlab.com",
    "bitbucket.org",
    "codeberg.org",
];

/// The rules of a preset, standing at `origin`.
#[must_use]
pub fn rules(preset: Preset, origin: &Origin) -> Vec<NetworkRule> {
    match preset {
        Preset::LockedDown => Vec::new(),
        Preset::Balanced => {
            let model =
                |host| allow("balanced", host, Vec::new(), "preset balanced: model providers", origin);
            let code =
                |host| allow("balanced", host, read_code(), "preset balanced: code hosts, reading", origin);
            MODELS.map(model).into_iter().chain(CODE.map(code)).collect()
        }
        Preset::Open => [(443, Protocol::Https), (80, Protocol::Http)]
            .into_iter()
            .map(|(port, protocol)| NetworkRule {
                host: HostPattern::Any,
                ports: Ports::one(port),
                protocol: Some(protocol),
                id: format!("preset.open/{protocol}"),
                ..allow("open", "", Vec::new(), "preset open: every public name", origin)
            })
            .collect(),
    }
}

/// Reading over HTTP, and what `git fetch` posts.
fn read_code() -> Vec<HttpMatch> {
    let read = HttpMatch { methods: ["GET", "HEAD"].map(str::to_owned).into(), paths: Vec::new() };
    let fetch = HttpMatch { methods: vec!["POST".to_owned()], paths: vec!["/**/git-upload-pack".to_owned()] };
    vec![read, fetch]
}

fn allow(preset: &str, host: &str, http: Vec<HttpMatch>, why: &str, origin: &Origin) -> NetworkRule {
    NetworkRule {
        until: None,
        id: format!("preset.{preset}/{host}"),
        effect: Effect::Allow,
        host: HostPattern::Exact(host.to_owned()),
        ports: Ports::one(443),
        protocol: Some(Protocol::Https),
        http,
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: why.to_owned(),
        origin: origin.clone(),
    }
}
