//! The kits that come with the program, read by the same code as anybody's.

use std::sync::LazyLock;

use super::{
    document::{AnyDocument, KitDocument, read},
    problem::{Problem, Source},
    resolve::{Services, service},
    schema::SchemaName,
};

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
}
