//! What of a template the cache lacks, told without building anything.

use super::Host;
use crate::{
    model::{desired::Sandbox, name::SandboxId},
    plan::facts::Unbuilt,
    store::Record,
    template::{self, Cache, Layer, layer},
};

impl Host {
    /// What is built before a sandbox gets its system disk. `id` is the sandbox, where there is one. What cannot be told
    /// counts as missing: the build says why.
    pub(in crate::cli::host) fn unbuilt(&self, wanted: &Sandbox, id: Option<&SandboxId>) -> Unbuilt {
        let template = &wanted.template;
        let all = Unbuilt { packages: template.packages.len(), steps: template.steps.len() };
        if all.is_empty() {
            return all;
        }
        let record = id.and_then(|id| self.store.load(id).ok());
        self.missing(wanted, record.as_ref()).unwrap_or(all)
    }

    fn missing(&self, wanted: &Sandbox, record: Option<&Record>) -> Option<Unbuilt> {
        let (template, cache) = (&wanted.template, Cache::unopened(&self.places.cache));
        let boot = cache.find()?;
        let image = match template.packages.is_empty() && boot.base.holds(&template.versions) {
            true => boot.base.digest().to_owned(),
            false => {
                let host = template::Host::this();
                let image = cache.find_image(&host, &template.packages, &template.versions).ok()??;
                image.key().to_owned()
            }
        };
        if template.steps.is_empty() {
            return Some(Unbuilt::default());
        }
        let rules = self.build_rules(wanted, record).ok()?;
        let planned = layer::plan(&image, &template.steps, &self.kernel_key(&boot), &rules.key);
        let missing = planned.iter().filter(|layer| Layer::find(&cache, &layer.key).is_none());
        Some(Unbuilt { packages: 0, steps: missing.map(|layer| layer.steps.len()).sum() })
    }
}
