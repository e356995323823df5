//! The operator's configuration: what touches the host, and so never stands in a kit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    later::{Anything, Later, UpstreamProxy},
    text::{Duration, Label},
};
use crate::kit::spanned::{OneOrMany, Spanned};

/// The operator's configuration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Configuration")]
#[expect(dead_code, reason = "some keys are refused until they are carried out")]
pub(in crate::kit) struct Config {
    /// What runs the machines.
    #[serde(default)]
    pub(in crate::kit) engine: Option<Engine>,
    /// The guests' kernel: auto, stock, or a path of a kernel image.
    #[serde(default)]
    pub(in crate::kit) kernel: Option<Spanned<String>>,
    /// How long a guest may take to its first answer; the default is 60s, and 3m where machines are emulated.
    #[serde(default)]
    pub(in crate::kit) boot_timeout: Option<Spanned<Duration>>,
    /// How strictly inner processes are confined.
    #[serde(default)]
    pub(in crate::kit) jail: Option<Jail>,
    /// How requests leave the host.
    #[serde(default)]
    pub(in crate::kit) egress: Egress,
    /// Where secrets lie.
    #[serde(default)]
    pub(in crate::kit) secrets: Secrets,
    /// Package registries by name: what `registry:NAME` in a rule means, as http or https addresses. The first is the
    /// index; name the host of the packages too where that is another one.
    #[serde(default)]
    #[schemars(extend("x-form" = "a name has 1 to 63 lower-case letters, digits and inner hyphens"))]
    pub(in crate::kit) registries: BTreeMap<Label, OneOrMany<Spanned<String>>>,
    /// The user's own settings that agents take over.
    #[serde(default)]
    host_config: Option<Later<BTreeMap<String, Vec<String>>>>,
    /// What needs no question.
    #[serde(default)]
    pub(in crate::kit) approvals: Approvals,
    /// The audit trail.
    #[serde(default)]
    pub(in crate::kit) audit: Audit,
}

/// What needs no question.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Approvals {
    /// What `--yes` approves.
    #[serde(default)]
    pub(in crate::kit) yes: Option<Yes>,
    /// Grants that need no question, for example `net GET,HEAD registry:*`.
    #[serde(default)]
    pub(in crate::kit) baseline: Vec<Spanned<String>>,
    /// Grants that `--yes` never approves.
    #[serde(default)]
    pub(in crate::kit) never: Vec<Spanned<String>>,
    /// Signed refs whose committed approvals (`.cofferdam/approvals.yaml`) count.
    #[serde(default)]
    pub(in crate::kit) trust: Vec<Trust>,
}

/// A signed ref whose committed approvals count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Trust {
    /// Its whole name: `refs/remotes/origin/main`.
    #[serde(rename = "ref")]
    pub(in crate::kit) reference: Spanned<String>,
    /// The repository, by URL or as `git.corp.example/acme/web`: what the clone came from, and what the file says that
    /// it is of.
    pub(in crate::kit) repository: Spanned<String>,
    /// Public keys as in `.pub` files: `ssh-ed25519 AAAA… alice@corp.example`. One of them must have signed the ref's
    /// commit.
    #[schemars(length(min = 1))]
    pub(in crate::kit) signers: Vec<Spanned<String>>,
    /// A whole commit id: only this commit and what descends from it counts.
    #[serde(default)]
    pub(in crate::kit) since: Option<Spanned<String>>,
}

/// What `--yes` approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Yes {
    /// All but what shows a program a secret's value, and what `never` lists (the default).
    Personal,
    /// Nothing: each grant is approved by name.
    None,
    /// Everything.
    Any,
}

/// What runs the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Engine {
    /// The best that this host can run (the default).
    Auto,
    /// Our own machine monitor on KVM.
    #[schemars(extend("x-notAvailable" = true))]
    Kvm,
    /// QEMU, with KVM where that works.
    Qemu,
}

/// How strictly inner processes are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Jail {
    /// What needs no privilege, and what more this host offers (the default).
    Auto,
    /// Everything; a host that lacks a layer is refused.
    Full,
}

/// How requests leave the host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are refused until they are carried out")]
pub(in crate::kit) struct Egress {
    /// `host:port` to `address:port`, in place of a look-up; exempt from the address floor.
    #[serde(default)]
    pub(in crate::kit) resolve: BTreeMap<String, Spanned<String>>,
    /// Files of further certification authorities (PEM), from this file's folder.
    #[serde(default)]
    pub(in crate::kit) upstream_ca: Vec<Spanned<String>>,
    /// A proxy between this host and the Internet.
    #[serde(default)]
    upstream_proxy: Option<Later<UpstreamProxy>>,
}

/// Where secrets lie.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Secrets {
    /// Store of `secret set`.
    #[serde(default)]
    #[expect(dead_code, reason = "both words are refused until they are carried out")]
    store: Option<SecretStore>,
    /// Secrets that lie elsewhere, by name.
    #[serde(default)]
    #[schemars(extend("x-form" = "a name has 1 to 63 lower-case letters, digits and inner hyphens"))]
    pub(in crate::kit) sources: BTreeMap<Label, Spanned<SecretSource>>,
}

/// Store of `secret set`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::kit) enum SecretStore {
    /// The desktop's keyring.
    #[schemars(extend("x-notAvailable" = true))]
    Keyring,
    /// An encrypted file.
    #[schemars(extend("x-notAvailable" = true))]
    EncryptedFile,
}

/// Where one secret lies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["env"]}, {"required": ["file"]}, {"required": ["command"]}]))]
#[expect(dead_code, reason = "one key is refused until it is carried out")]
pub(in crate::kit) struct SecretSource {
    /// Variable of the environment that starts the sandbox.
    #[serde(default)]
    pub(in crate::kit) env: Option<Spanned<String>>,
    /// File; a trailing newline is not part of the value.
    #[serde(default)]
    pub(in crate::kit) file: Option<Spanned<String>>,
    /// Program and arguments, run without a shell, that print it.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(in crate::kit) command: Option<Vec<Spanned<String>>>,
    /// How long a value is good for.
    #[serde(default)]
    refresh: Option<Later<Duration>>,
}

/// The audit trail.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "one key is refused until it is carried out")]
pub(in crate::kit) struct Audit {
    /// When an event counts as durable.
    #[serde(default)]
    pub(in crate::kit) sync: Option<AuditSync>,
    /// Where it is sent.
    #[serde(default)]
    sinks: Option<Later<Vec<Anything>>>,
}

/// When an event counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum AuditSync {
    /// Written to the keeper; on disk within 100 ms (the default).
    Group,
    /// On disk, each of them.
    Each,
}
