//! What is part of the format and not carried out yet: its shape is checked, then it is refused with its line.
//! To bring a part to life, move its type to where it belongs and take [`Later`] off the key.

#![expect(dead_code, reason = "shapes of what is not carried out yet: only their schemas are used")]

use std::{borrow::Cow, collections::BTreeMap, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::text::{
    Asked, CommandWord, Duration, EnvName, Label, McpName, Method, Rate, RepositoryName, ServerName,
    ServerUrl,
};
use crate::kit::spanned::OneOrMany;

/// A value whose schema is that of `T` and which the validator refuses as not available yet.
#[derive(Debug)]
pub(in crate::kit) struct Later<T>(PhantomData<T>);

impl<'de, T> Deserialize<'de> for Later<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Later<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Later_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert("x-notAvailable".to_owned(), true.into());
        schema
    }
}

/// Anything at all.
#[derive(Debug)]
pub(in crate::kit) struct Anything;

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({})
    }
}

/// How TLS is treated.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum TlsWord {
    /// Opened, so that every request is judged.
    Inspect,
    /// Passed through; only the name is judged.
    Splice,
}

/// What becomes of changes that are not committed.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Uncommitted {
    /// A person says which; without a terminal they stay (the default).
    Ask,
    /// They enter.
    Include,
    /// They stay on the host.
    Leave,
}

/// How much may pass.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(in crate::kit) struct Limit {
    /// Bytes to the host, per time: `10MiB/d`.
    #[serde(default)]
    upload: Option<Rate>,
    /// Bytes from the host, per time.
    #[serde(default)]
    download: Option<Rate>,
}

/// A part of a service.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(in crate::kit) struct ServiceOptions {
    /// Only these repositories.
    #[serde(default)]
    #[schemars(length(min = 1))]
    repositories: Vec<RepositoryName>,
}

/// A folder of the sandbox's own that survives *replace*.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Cache {
    /// Who shares it.
    #[serde(default)]
    scope: Option<CacheScope>,
}

/// Who shares a cache.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum CacheScope {
    /// Nobody (the default).
    Sandbox,
    /// Every sandbox of this repository.
    Repository,
}

/// Caches by name.
pub(in crate::kit) type Caches = BTreeMap<Label, Cache>;

/// MCP servers.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Mcp {
    /// By name.
    #[serde(default)]
    #[schemars(extend("x-form" = "a server's name has 1 to 63 letters, digits, `_`, `.` and hyphens"))]
    servers: BTreeMap<ServerName, McpServer>,
}

/// An MCP server, in the shape of `.mcp.json`: a program in the sandbox, or one that listens elsewhere.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["command"]}, {"required": ["url"]}]))]
pub(in crate::kit) struct McpServer {
    /// Program and arguments.
    #[serde(default)]
    command: Option<OneOrMany<CommandWord>>,
    /// Further arguments.
    #[serde(default)]
    args: Vec<CommandWord>,
    /// Environment variables.
    #[serde(default)]
    #[schemars(extend("x-form" = "a variable's name has letters, digits and underscores, and begins with no digit"))]
    env: BTreeMap<EnvName, String>,
    /// Where it listens.
    #[serde(default)]
    url: Option<ServerUrl>,
    /// Names of the secrets that it may use.
    #[serde(default)]
    secrets: Vec<Label>,
    /// Which of its tools the agent may call; all of them unless written.
    #[serde(default)]
    tools: Option<McpTools>,
}

/// Tools of an MCP server.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct McpTools {
    /// Tools to allow; `*` stands for any part of a name.
    #[schemars(length(min = 1))]
    allow: Vec<McpName>,
}

/// When a sandbox stops and goes.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Lifecycle {
    /// What happens when the agent ends.
    #[serde(default)]
    on_exit: Option<OnExit>,
    /// Idle for so long.
    #[serde(default)]
    stop_after_idle: Option<Duration>,
    /// At latest after so long.
    #[serde(default)]
    stop_after: Option<Duration>,
    /// Stopped for so long, with nothing unfetched.
    #[serde(default)]
    remove_after: Option<Duration>,
}

/// What happens when the agent ends.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum OnExit {
    /// The sandbox stops.
    Stop,
    /// The sandbox goes on.
    Keep,
}

/// A question to the policy and the answer it must give.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct PolicyTest {
    /// A host, host:port or URL.
    network: Asked,
    /// The request's method.
    #[serde(default)]
    method: Option<Method>,
    /// The answer.
    expect: Expectation,
}

/// The answer that the policy must give.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Expectation {
    /// It passes.
    Allow,
    /// It is blocked.
    Deny,
    /// It waits for a person.
    Ask,
}

/// A hop between egress and the Internet.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct UpstreamProxy {
    /// Where it listens.
    url: String,
    /// Whether it resolves names.
    #[serde(default)]
    resolves: bool,
}
