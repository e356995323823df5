//! Packages of templates in the versions that the lock file pins.

use super::{LOCK_FILE, Lock, kits::place};
use crate::{
    kit::{
        discover::SourceFile,
        problem::{Code, Problem, Source, quoted},
    },
    model::{desired::Sandbox, template::is_base_package},
};

/// Gives each template the versions that are pinned for it; what is not pinned, each once.
pub(in crate::kit) fn pin_packages(
    sandboxes: &mut [Sandbox],
    file: Option<&SourceFile>,
    lock: Option<&Lock>,
) -> Vec<Problem> {
    let text = file.map(|file| String::from_utf8_lossy(&file.bytes)).unwrap_or_default();
    let source = Source::new(file.map_or(LOCK_FILE, |file| &file.name), &text);
    let mut missing = std::collections::BTreeSet::new();
    for template in sandboxes.iter_mut().map(|sandbox| &mut sandbox.template) {
        let pinned = lock.and_then(|lock| lock.packages.get(&template.image));
        // What stands for the base. It is pinned where a host could say what it is.
        let base = pinned.into_iter().flatten().filter(|(name, _)| is_base_package(name));
        template.versions.extend(base.map(|(name, package)| (name.clone(), package.version.clone())));
        for name in &template.packages {
            match pinned.and_then(|pinned| pinned.get(name)) {
                Some(package) => drop(template.versions.insert(name.clone(), package.version.clone())),
                None => drop(missing.insert((name.clone(), template.image.clone()))),
            }
        }
    }
    let problem = |(name, image): (String, String)| {
        let message = format!("{LOCK_FILE} does not have the package {} of {image}", quoted(&name));
        let problem = Problem::new(Code::Lock, &source, place(&text, 1), message);
        problem.help("run `cofferdam update` and commit the file")
    };
    missing.into_iter().map(problem).collect()
}
