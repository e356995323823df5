//! Arguments of kits: what a kit declares, and what is given.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use crate::kit::spanned::Spanned;

/// An argument that a kit takes: with a default, or required.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["default"]}, {"required": ["required"]}]))]
pub(in crate::kit) struct Argument {
    /// What it is.
    #[serde(default)]
    #[expect(dead_code, reason = "for people")]
    description: Option<String>,
    /// Value unless given.
    #[serde(default)]
    pub(in crate::kit) default: Option<Spanned<Scalar>>,
    /// Must be given.
    #[serde(default)]
    pub(in crate::kit) required: Option<Spanned<bool>>,
    /// The values that it may have.
    #[serde(default, rename = "enum")]
    #[schemars(length(min = 1))]
    pub(in crate::kit) words: Option<Vec<Spanned<Scalar>>>,
    /// The form of the whole value, as a regular expression.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub(in crate::kit) pattern: Option<Spanned<String>>,
}

/// A text, a whole number, true or false.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::kit) enum Scalar {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl Scalar {
    /// As JSON.
    pub(in crate::kit) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Int(number) => (*number).into(),
            Self::Bool(value) => (*value).into(),
        }
    }

    /// Its sort, in words.
    pub(in crate::kit) fn word(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Int(_) => "a whole number",
            Self::Bool(_) => "true or false",
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Int(number) => write!(formatter, "{number}"),
            Self::Bool(value) => write!(formatter, "{value}"),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text, a whole number, true or false")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(number))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]})
    }
}
