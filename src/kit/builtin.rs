//! The kits that come with the program, read by the same code as anybody's.

use std::sync::LazyLock;

use super::{
    document::{AnyDocument, read},
    problem::Problem,
    resolve::{Budget, Here, Library, agent, service},
    sets::Facts,
};

const SERVICES: &str = include_str!("../../kits/services.yaml");
const AGENTS: [&str; 1] = [include_str!("../../kits/shell/kit.yaml")];

/// The built-in agents and services.
pub(super) fn library() -> &'static Library {
    static LIBRARY: LazyLock<Library> = LazyLock::new(|| build().0);
    &LIBRARY
}

/// Whether an agent kit of this name comes with the program.
#[must_use]
pub fn has_agent(name: &str) -> bool {
    library().agents.contains_key(name)
}

/// Whether a service of this name comes with the program.
#[must_use]
pub fn has_service(name: &str) -> bool {
    library().services.contains_key(name)
}

fn build() -> (Library, Vec<Problem>) {
    let mut library = Library::default();
    let mut problems = Vec::new();
    let budget = Budget::default();
    for text in std::iter::once(SERVICES).chain(AGENTS) {
        let mut file = read("a built-in kit", text.as_bytes());
        for document in &file.documents {
            let name = document.identity().1.to_owned();
            match document {
                AnyDocument::Service(document) => {
                    let resolved = service(&document.spec, &mut file.findings);
                    library.services.extend(resolved.map(|service| (name, service)));
                }
                AnyDocument::Agent(document) => {
                    let shown = format!("kit {name}");
                    let here = Here { name: &shown, file: None, budget: &budget };
                    let facts = Facts::none();
                    let resolved = agent(&name, &document.spec, &here, &library, facts, &mut file.findings);
                    library.agents.insert(name, resolved);
                }
                AnyDocument::Sandbox(..) | AnyDocument::Mixin(_) => {}
            }
        }
        problems.extend(file.findings.into_parts().0);
    }
    (library, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_kits_are_right() {
        let (library, problems) = build();
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(library.agents.keys().collect::<Vec<_>>(), ["shell"]);
        assert_eq!(library.services.keys().collect::<Vec<_>>(), ["anthropic", "github", "openai"]);
    }
}
