//! Secrets by name, and services that use them. Where a secret lies is never said here.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    later::{Later, ServiceOptions},
    text::{EnvName, HeaderFormat, HeaderName, Label, PathPattern, PlaceholderForm, Reason},
};
use crate::kit::spanned::Spanned;

/// A secret that the agent may use without seeing it.
#[derive(Debug)]
pub(in crate::kit) enum Secret {
    /// A service's name: the service says the rest.
    Service(String),
    /// All of it, for a host that no service describes.
    Custom(Box<Custom>),
}

/// A secret for a host that no service describes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CustomSecret")]
pub(in crate::kit) struct Custom {
    /// The name under which the operator keeps it.
    pub(in crate::kit) name: Spanned<Label>,
    /// Variable that holds the placeholder in the sandbox.
    #[serde(default)]
    pub(in crate::kit) env: Option<Spanned<EnvName>>,
    /// Form of the placeholder, for clients that check a key before they send it: `{alnum:N}` and `{hex:N}` are
    /// N random characters.
    #[serde(default)]
    pub(in crate::kit) placeholder: Option<Spanned<PlaceholderForm>>,
    /// Without a value: `true` (the default) keeps the sandbox from starting, `false` leaves the variable unset.
    #[serde(default)]
    pub(in crate::kit) required: Option<bool>,
    /// Gives a program the real value.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    reveal: Option<Later<bool>>,
    /// Where the value is put into requests, and nowhere else: `[{host: api.example.com, header: authorization, format:
    /// "Bearer {}"}]`.
    #[schemars(length(min = 1))]
    pub(in crate::kit) inject: Vec<Inject>,
    /// What the secret is for.
    pub(in crate::kit) why: Reason,
    /// Not here: where a secret lies is the operator's to say.
    #[serde(default)]
    #[expect(dead_code, reason = "refused, with where it belongs")]
    from: Option<Misplaced>,
}

/// One place where a secret is put into requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Inject {
    /// Exact host, or host:port.
    pub(in crate::kit) host: Spanned<String>,
    /// Header that carries it.
    pub(in crate::kit) header: Spanned<HeaderName>,
    /// Value of the header, with `{}` for the secret; the secret alone unless written.
    #[serde(default)]
    pub(in crate::kit) format: Option<Spanned<HeaderFormat>>,
}

/// A credentialed host: kind Service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct Service {
    /// Exact hosts, or host:port, that take the secret.
    #[schemars(length(min = 1))]
    pub(in crate::kit) hosts: Vec<Spanned<String>>,
    /// How they take it.
    pub(in crate::kit) inject: ServiceInject,
    /// Variable that holds the placeholder in the sandbox.
    #[serde(default)]
    pub(in crate::kit) env: Option<Spanned<EnvName>>,
    /// Form of the placeholder.
    #[serde(default)]
    pub(in crate::kit) placeholder: Option<Spanned<PlaceholderForm>>,
    /// Paths that would mint further tokens.
    #[serde(default)]
    #[expect(dead_code, reason = "refused until it is carried out")]
    deny: Option<Later<Vec<PathPattern>>>,
    /// What the service is: the reason of every secret that it takes.
    pub(in crate::kit) why: Reason,
}

/// Header and value that carry a service's secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kit) struct ServiceInject {
    /// Header that carries it.
    pub(in crate::kit) header: Spanned<HeaderName>,
    /// Value of the header, with `{}` for the secret; the secret alone unless written.
    #[serde(default)]
    pub(in crate::kit) format: Option<Spanned<HeaderFormat>>,
}

/// A key that no repository's file may have.
#[derive(Debug)]
pub(in crate::kit) struct Misplaced;

impl<'de> Deserialize<'de> for Misplaced {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("a repository's file does not say where a secret lies"))
    }
}

impl JsonSchema for Misplaced {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Misplaced".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "not": {},
            "x-refused": "a repository's file names secrets and never says where they lie",
            "x-form": "remove it here; the operator writes it into secrets.sources of the configuration",
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Secret;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a service's name or a mapping")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::Service(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                // The narrowed form never passes validation yet, so a mapping here is the custom one.
                Custom::deserialize(MapAccessDeserializer::new(map))
                    .map(|custom| Secret::Custom(custom.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let custom = generator.subschema_for::<Custom>();
        let mut narrowed = generator.subschema_for::<Later<BTreeMap<Label, ServiceOptions>>>();
        narrowed.insert("minProperties".to_owned(), 1.into());
        narrowed.insert(
            "x-form".to_owned(),
            "a service's name has lower-case letters, digits and inner hyphens".into(),
        );
        schemars::json_schema!({
            "description": "A secret that the agent may use without seeing it: a service's name, or all of it.",
            "anyOf": [{"type": "string", "x-form": "a service's name"}, custom, narrowed],
        })
    }
}
