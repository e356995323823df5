//! The JSON Schemas, generated from [`super::wire`]. They are committed under `schemas/`, and they are what the
//! parser itself validates with: the two cannot disagree.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

use super::wire::{
    agent::{Agent, Mixin},
    config::Config,
    envelope::{AgentKind, Document, MixinKind, OrgPolicyKind, SandboxKind, ServiceKind},
    org::OrgPolicy,
    sandbox::Sandbox,
    secret::Service,
};

/// A published schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaName {
    /// Kind Sandbox.
    Sandbox,
    /// Kind Sandbox beside a file with another one of the same name.
    Local,
    /// Kind Agent.
    Agent,
    /// Kind Mixin.
    Mixin,
    /// Kind Service.
    Service,
    /// Kind OrgPolicy.
    OrgPolicy,
    /// The operator's configuration.
    Config,
}

impl SchemaName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Sandbox, Self::Local, Self::Agent, Self::Mixin, Self::Service, Self::OrgPolicy, Self::Config];

    /// Name of its file under `schemas/`.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox.json",
            Self::Local => "sandbox.local.json",
            Self::Agent => "agent.json",
            Self::Mixin => "mixin.json",
            Self::Service => "service.json",
            Self::OrgPolicy => "org-policy.json",
            Self::Config => "config.json",
        }
    }
}

/// Generates a schema.
#[must_use]
pub fn schema(name: SchemaName) -> Value {
    match name {
        SchemaName::Sandbox => generate::<Document<SandboxKind, Sandbox>>("Cofferdam: kind Sandbox"),
        SchemaName::Local => {
            let mut schema = generate::<Document<SandboxKind, Sandbox>>("Cofferdam: sandbox.local.yaml");
            // It changes a sandbox that has said the rest.
            let required = schema.pointer_mut("/$defs/SandboxSpec/required").and_then(Value::as_array_mut);
            if let Some(required) = required {
                required.retain(|key| key != "agent");
            }
            schema
        }
        SchemaName::Agent => generate::<Document<AgentKind, Agent>>("Cofferdam: kind Agent"),
        SchemaName::Mixin => generate::<Document<MixinKind, Mixin>>("Cofferdam: kind Mixin"),
        SchemaName::Service => generate::<Document<ServiceKind, Service>>("Cofferdam: kind Service"),
        SchemaName::OrgPolicy => generate::<Document<OrgPolicyKind, OrgPolicy>>("Cofferdam: kind OrgPolicy"),
        SchemaName::Config => generate::<Config>("Cofferdam: the operator's configuration"),
    }
}

/// A schema as it is written into its file.
#[must_use]
pub fn schema_text(name: SchemaName) -> String {
    format!("{:#}\n", schema(name))
}

fn generate<T: JsonSchema>(title: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(strict));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// An optional key may be left out; it may not be written with nothing behind it. So null goes from every type.
/// Widths of integers and defaults are ours, not the reader's.
fn strict(schema: &mut Schema) {
    for noise in ["format", "default"] {
        schema.remove(noise);
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(branches)) = schema.get_mut("anyOf") else { return };
    branches.retain(|branch| *branch != json!({"type": "null"}));
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            schema.ensure_object().entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::shape;

    #[test]
    fn the_validator_holds_to_every_keyword() {
        for name in SchemaName::ALL {
            shape::compile(&schema(name)).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
    }

    #[test]
    fn committed_schemas_are_current() {
        for name in SchemaName::ALL {
            let path =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name.file_name());
            if std::env::var_os("COFFERDAM_UPDATE").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, schema_text(name)).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == schema_text(name),
                "{}: run the tests with COFFERDAM_UPDATE=1",
                path.display()
            );
        }
    }
}
