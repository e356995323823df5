//! A kit that a document names.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::{argument::Scalar, text::ArgumentName};
use crate::kit::spanned::{Spanned, TextOr};

/// A kit's name or path, with arguments.
#[derive(Debug, Clone)]
pub(in crate::kit) struct KitRef {
    pub(in crate::kit) kit: Spanned<String>,
    pub(in crate::kit) args: BTreeMap<ArgumentName, Spanned<Scalar>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "KitWithArguments")]
struct Full {
    /// Its name; or a path to its folder or archive from this file, `./kits/review`; or a folder in git,
    /// `git+https://git.example/kits.git#ref=v1&dir=review`.
    #[schemars(length(min = 1))]
    kit: Spanned<String>,
    /// Its arguments.
    #[serde(default)]
    #[schemars(extend("x-form" = "an argument's name begins with a letter and has letters, digits, `_` and hyphens"))]
    args: BTreeMap<ArgumentName, Spanned<Scalar>>,
}

impl<'de> Deserialize<'de> for KitRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, span } = Spanned::<TextOr<Full>>::deserialize(deserializer)?;
        Ok(match value {
            TextOr::Text(value) => Self { kit: Spanned { value, span }, args: BTreeMap::new() },
            TextOr::Full(full) => Self { kit: full.kit, args: full.args },
        })
    }
}

impl JsonSchema for KitRef {
    fn schema_name() -> Cow<'static, str> {
        "Kit".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<Full>();
        schemars::json_schema!({
            "description": "A kit's name, path or place in git; or that with arguments.",
            "anyOf": [{"type": "string", "minLength": 1}, full],
        })
    }
}
