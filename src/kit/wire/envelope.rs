//! What every document begins with: Kubernetes' envelope.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Label, LabelKey, LabelValue};
use crate::kit::spanned::Spanned;

/// The version that documents must name.
pub(in crate::kit) const API_VERSION: &str = "cofferdam.dev/v1alpha1";

/// A document of one kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Document<K, S> {
    /// Format and version; other tools use some of these file names too.
    #[expect(dead_code, reason = "the schema holds it; nothing reads it after that")]
    api_version: ApiVersion,
    /// What the document describes.
    #[expect(dead_code, reason = "the schema holds it; nothing reads it after that")]
    kind: K,
    /// Its name and what people say about it.
    pub(in crate::kit) metadata: Metadata,
    /// The description.
    pub(in crate::kit) spec: S,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::kit) enum ApiVersion {
    #[serde(rename = "cofferdam.dev/v1alpha1")]
    V1Alpha1,
}

/// Name, labels, annotations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Metadata {
    /// Unique among documents of its kind.
    pub(in crate::kit) name: Spanned<Label>,
    /// For selecting: short words.
    #[serde(default)]
    #[schemars(extend("x-form" = "a label's key has letters, digits, `.`, `_`, `/` and hyphens"))]
    pub(in crate::kit) labels: BTreeMap<LabelKey, LabelValue>,
    /// For people and tools; never interpreted.
    #[serde(default)]
    #[expect(dead_code, reason = "for people and other tools")]
    annotations: BTreeMap<String, String>,
}

macro_rules! kinds {
    ($($kind:ident $word:ident),*) => {$(
        #[derive(Debug, Deserialize, JsonSchema)]
        pub(in crate::kit) enum $kind { $word }
    )*};
}
kinds!(SandboxKind Sandbox, AgentKind Agent, MixinKind Mixin, ServiceKind Service, OrgPolicyKind OrgPolicy);
