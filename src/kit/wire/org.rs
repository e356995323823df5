//! Kind OrgPolicy: what an organisation allows on its developers' machines, and what it leaves to them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    network::Rule,
    sandbox::{Access, Isolation},
    text::{Glob, McpName, Reason, ResourceName, Size, SupportMessage},
};
use crate::kit::spanned::{OneOrMany, Spanned};

/// What an organisation allows on its developers' machines. Any deny wins; where it governs a kind of action, nothing
/// passes that it neither allows nor delegates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "OrgPolicySpec")]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct OrgPolicy {
    /// What a denied developer reads, and where to ask: one line.
    #[serde(default)]
    pub(in crate::kit) support_message: Option<SupportMessage>,
    /// What sandboxes may reach.
    #[serde(default)]
    pub(in crate::kit) network: Option<OrgNetwork>,
    /// Which host folders may enter a sandbox.
    #[serde(default)]
    pub(in crate::kit) filesystem: Option<OrgFilesystem>,
    /// Which kits, images, modes and secrets sandboxes may use.
    #[serde(default)]
    pub(in crate::kit) resources: Option<OrgResources>,
    /// Which MCP servers are approved, and which of their tools.
    #[serde(default)]
    pub(in crate::kit) mcp: Option<OrgMcp>,
    /// The most that any sandbox may have, and the least that it must keep to.
    #[serde(default)]
    pub(in crate::kit) ceilings: Option<Ceilings>,
}

/// Who decides where the organisation says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::kit) enum Govern {
    /// The organisation: what it does not allow or delegate is denied (the default).
    Closed,
    /// Lower layers; the organisation's denies still win.
    Open,
}

/// What sandboxes may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct OrgNetwork {
    /// Who decides where no rule speaks.
    #[serde(default)]
    pub(in crate::kit) govern: Option<Govern>,
    /// Patterns and named sets that developers may allow for themselves.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub(in crate::kit) delegate: Vec<Spanned<String>>,
    /// Rules, as in a sandbox.
    #[serde(default)]
    #[schemars(length(max = 10000))]
    pub(in crate::kit) rules: Vec<Spanned<Rule>>,
}

/// Which host folders may enter a sandbox.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct OrgFilesystem {
    /// Who decides where no rule speaks.
    #[serde(default)]
    pub(in crate::kit) govern: Option<Govern>,
    /// Folders that developers may mount for themselves.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub(in crate::kit) delegate: Vec<Spanned<Glob>>,
    /// Rules.
    #[serde(default)]
    #[schemars(length(max = 10000))]
    pub(in crate::kit) rules: Vec<PathRule>,
}

/// A rule about host folders.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["allow", "why"]}, {"required": ["deny"]}]))]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct PathRule {
    /// Folders to allow: absolute or `~/…`, with `*` for one name and `**` for any depth.
    #[serde(default)]
    pub(in crate::kit) allow: Option<OneOrMany<Spanned<Glob>>>,
    /// Folders to deny.
    #[serde(default)]
    pub(in crate::kit) deny: Option<OneOrMany<Spanned<Glob>>>,
    /// Only this access; without it every one.
    #[serde(default)]
    access: Option<Access>,
    /// What the rule is for.
    #[serde(default)]
    why: Option<Reason>,
}

/// Which kits, images, modes and secrets sandboxes may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct OrgResources {
    /// Who decides where no rule speaks.
    #[serde(default)]
    govern: Option<Govern>,
    /// What developers may use besides.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    delegate: Vec<ResourceName>,
    /// Rules.
    #[serde(default)]
    #[schemars(length(max = 10000))]
    rules: Vec<ResourceRule>,
}

/// A rule about what sandboxes may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["allow", "why"]}, {"required": ["deny"]}]))]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct ResourceRule {
    /// What to allow: `agent:NAME`, `kit:NAME`, `image:NAME`, `mode:NAME`, `secret:NAME`, `hostService:NAME`; `*` is any.
    #[serde(default)]
    allow: Option<OneOrMany<ResourceName>>,
    /// What to deny.
    #[serde(default)]
    deny: Option<OneOrMany<ResourceName>>,
    /// What the rule is for.
    #[serde(default)]
    why: Option<Reason>,
}

/// Which MCP servers are approved, and which of their tools.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct OrgMcp {
    /// Who decides where no rule speaks.
    #[serde(default)]
    govern: Option<Govern>,
    /// Servers that developers may register for themselves.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    delegate: Vec<McpName>,
    /// Rules.
    #[serde(default)]
    #[schemars(length(max = 10000))]
    rules: Vec<McpRule>,
}

/// A rule about MCP servers and their tools.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["allow", "why"]}, {"required": ["deny"]}, {"required": ["ask", "why"]}]))]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct McpRule {
    /// Servers to allow; `*` stands for any part of a name.
    #[serde(default)]
    allow: Option<OneOrMany<McpName>>,
    /// Servers to deny.
    #[serde(default)]
    deny: Option<OneOrMany<McpName>>,
    /// Servers to ask a person about.
    #[serde(default)]
    ask: Option<OneOrMany<McpName>>,
    /// Only these tools; without it all of them.
    #[serde(default)]
    #[schemars(length(min = 1))]
    tools: Option<Vec<McpName>>,
    /// What the rule is for.
    #[serde(default)]
    why: Option<Reason>,
}

/// The most that any sandbox may have, and the least that it must keep to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its form is checked; its enforcement is not there yet")]
pub(in crate::kit) struct Ceilings {
    /// Virtual CPUs of one sandbox.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64))]
    cpus: Option<u8>,
    /// Memory of one sandbox.
    #[serde(default)]
    memory: Option<Size>,
    /// Disk of one sandbox.
    #[serde(default)]
    disk: Option<Size>,
    /// Sandboxes of one person that run at a time.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    sandboxes: Option<u16>,
    /// The machine boundary that every sandbox must have.
    #[serde(default)]
    isolation: Option<Isolation>,
}
