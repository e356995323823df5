//! Network rules and services of the host.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    later::{Later, Limit, TlsWord},
    text::{Label, Method, PathPattern, Reason, Until},
};
use crate::kit::spanned::{OneOrMany, Spanned};

/// What the sandbox may reach. Nothing is reachable that no rule allows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Network {
    /// Named rules to begin with.
    #[serde(default)]
    pub(in crate::kit) preset: Option<Spanned<Preset>>,
    /// Rules. Any deny that matches wins; else any allow; else the request is denied.
    #[serde(default)]
    pub(in crate::kit) rules: Vec<Spanned<Rule>>,
    /// Services on the host's loopback, reached as `http://NAME.host.internal/`.
    #[serde(default)]
    pub(in crate::kit) host_services: Vec<Spanned<HostService>>,
}

/// Named rules to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::kit) enum Preset {
    /// Nothing but the rules (the default).
    LockedDown,
    /// Model providers and code hosts.
    Balanced,
    /// Every public name over HTTP and HTTPS.
    Open,
}

/// One rule: `allow`, `deny` or `ask`, for one pattern or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["allow", "why"]}, {"required": ["deny"]}, {"required": ["ask", "why"]}]))]
pub(in crate::kit) struct Rule {
    /// Hosts to allow: `host`, `*.x` (one label), `**.x` (any depth), `host:port`, `host:lo-hi`, an address, a
    /// network, or a named set: `registry:NAME`, `bundle:NAME`, `service:NAME`. A bare host means port 443.
    #[serde(default)]
    pub(in crate::kit) allow: Option<OneOrMany<Spanned<String>>>,
    /// Hosts to deny. A bare host means every port; `**.x` covers x too.
    #[serde(default)]
    pub(in crate::kit) deny: Option<OneOrMany<Spanned<String>>>,
    /// Hosts to ask a person about: a request waits until one has answered.
    #[serde(default)]
    pub(in crate::kit) ask: Option<OneOrMany<Spanned<String>>>,
    /// What is spoken there; https on port 443 and http on port 80 unless written.
    #[serde(default)]
    pub(in crate::kit) protocol: Option<Spanned<Protocol>>,
    /// Whether TLS is opened (inspect) or passed through (splice).
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    tls: Option<Later<TlsWord>>,
    /// Narrows the rule to some requests; all of them unless written.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) http: Vec<Requests>,
    /// Addresses that an allowed name may resolve to.
    #[serde(default)]
    pub(in crate::kit) addresses: Option<Spanned<Addresses>>,
    /// `setup` withdraws the rule before the agent starts.
    #[serde(default)]
    pub(in crate::kit) during: Option<Spanned<During>>,
    /// When the rule ends: its last day (2026-12-31, until its end in UTC), or a time (2026-12-31T18:00:00Z). From
    /// then on it says nothing, in running sandboxes too.
    #[serde(default)]
    pub(in crate::kit) until: Option<Spanned<Until>>,
    /// How much may pass.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    limit: Option<Later<Limit>>,
    /// What the rule is for. Needed on whatever grants.
    #[serde(default)]
    pub(in crate::kit) why: Option<Reason>,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Protocol {
    /// HTTP in the clear; every request is judged.
    Http,
    /// HTTP inside TLS, which is opened; every request is judged.
    Https,
    /// TLS passed through unopened; no secret can be injected.
    Tls,
    /// Bytes; only name and port are judged.
    Tcp,
}

/// While what a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum During {
    /// While set-up steps and a template's build steps run; withdrawn before the agent starts.
    Setup,
}

/// Addresses that an allowed name may resolve to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Addresses {
    /// Public ones only (the default).
    Public,
    /// Private ones too, for one exact host or network.
    Private,
}

/// Some requests: one of the methods and one of the paths.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(in crate::kit) struct Requests {
    /// Methods, upper-case; all of them unless written.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) methods: Vec<Method>,
    /// Paths: segments, `*` for one of them, `**` for any number; all of them unless written.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) paths: Vec<Spanned<PathPattern>>,
}

/// A service on the host's loopback.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct HostService {
    /// Its name; the sandbox reaches it as `http://NAME.host.internal/`.
    pub(in crate::kit) name: Spanned<Label>,
    /// Its port on the host's loopback.
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::kit) port: u16,
    /// Narrows it to some requests; all of them unless written.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) http: Vec<Requests>,
    /// What it is for.
    pub(in crate::kit) why: Reason,
}
