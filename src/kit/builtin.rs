//! The kits that come with the program, read by the same code as anybody's.

use std::{collections::BTreeSet, sync::LazyLock};

use super::{
    document::{AnyDocument, KitDocument, read},
    problem::{Problem, Source},
    resolve::{Services, service},
    schema::SchemaName,
};
use crate::model::secret::SecretBinding;

/// The built-in files, as policy and audit show them.
const FILES: [(&str, &str); 2] = [
    ("the built-in services", include_str!("../../kits/services.yaml")),
    ("kit shell", include_str!("../../kits/shell/kit.yaml")),
];

#[derive(Default)]
struct BuiltIn {
    services: Services,
    kits: Vec<(Source, KitDocument)>,
    problems: Vec<Problem>,
}

static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(build);

/// The built-in services.
pub(super) fn services() -> &'static Services {
    &BUILT_IN.services
}

/// The built-in kits, and what they stand in.
pub(super) fn kits() -> &'static [(Source, KitDocument)] {
    &BUILT_IN.kits
}

/// Names of the built-in agents.
pub(super) fn agents() -> impl Iterator<Item = &'static str> {
    let agents = kits().iter().filter(|(_, kit)| kit.kind == SchemaName::Agent);
    agents.filter_map(|(_, kit)| kit.name.as_ref().map(|name| name.value.as_str()))
}

/// Whether an agent kit of this name comes with the program.
#[must_use]
pub fn has_agent(name: &str) -> bool {
    agents().any(|agent| agent == name)
}

/// Whether a service of this name comes with the program.
#[must_use]
pub fn has_service(name: &str) -> bool {
    services().contains_key(name)
}

/// The variables that hold keys of the built-in services.
#[must_use]
pub fn service_variables() -> BTreeSet<String> {
    services().values().filter_map(|service| service.variable()).map(str::to_owned).collect()
}

/// The variable of a built-in service, where `binding` is that service's and says nothing else than it does.
#[must_use]
pub fn service_variable(binding: &SecretBinding) -> Option<&'static str> {
    let service = services().get(&binding.name)?;
    service.variable().filter(|_| service.is_all_of(binding))
}

fn build() -> BuiltIn {
    let mut built_in = BuiltIn::default();
    for (name, text) in FILES {
        let mut file = read(name, text.as_bytes());
        for document in file.documents {
            match document {
                AnyDocument::Service(document) => {
                    let resolved = service(&document.spec, &mut file.findings);
                    let name = document.metadata.name.value.0;
                    built_in.services.extend(resolved.map(|service| (name, service)));
                }
                AnyDocument::Kit(kit) => built_in.kits.push((file.findings.source().clone(), kit)),
                AnyDocument::Sandbox(_) | AnyDocument::OrgPolicy(_) => {}
            }
        }
        built_in.problems.extend(file.findings.into_parts().0);
    }
    built_in
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_kits_are_right() {
        assert!(BUILT_IN.problems.is_empty(), "{:#?}", BUILT_IN.problems);
        assert_eq!(agents().collect::<Vec<_>>(), ["shell"]);
        assert_eq!(services().keys().collect::<Vec<_>>(), ["anthropic", "github", "openai"]);
    }

    #[test]
    fn only_a_built_in_service_has_a_variable_of_the_host() {
        assert!(service_variables().contains("ANTHROPIC_API_KEY"));
        let mut binding = SecretBinding {
            name: "openai".into(),
            env: Some("OPENAI_API_KEY".into()),
            placeholder: "sk-proj-{alnum:156}".into(),
            required: true,
            inject: vec![crate::model::secret::Injection {
                host: "api.openai.com".into(),
                port: 443,
                header: "authorization".into(),
                format: "Bearer {}".into(),
            }],
            why: String::new(),
            origin: crate::model::rule::Origin {
                layer: crate::model::rule::Layer::Repository,
                file: None,
                line: None,
            },
        };
        assert_eq!(service_variable(&binding), Some("OPENAI_API_KEY"));
        // A repository that calls its own host by a service's name gets no key by an answer about the service.
        binding.inject[0].host = "evil.example".into();
        assert_eq!(service_variable(&binding), None);
    }
}
