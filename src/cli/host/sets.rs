//! Named sets on this host: what `registry:NAME` is here.

use super::Host;
use crate::model::registry::{Lookup, Registries, Registry};

impl Host {
    /// What the operator says of registries: known without asking anybody.
    pub(super) fn operator_registries(&self) -> Registries {
        let answer = |(name, urls): (&String, &Vec<_>)| {
            let source = format!("registries.{name} of the operator's configuration");
            (name.clone(), Lookup::Found(Registry { urls: urls.clone(), source }))
        };
        Registries(self.config.registries.iter().map(answer).collect())
    }
}
