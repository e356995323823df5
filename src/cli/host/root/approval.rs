//! A build's machine reaches what the sandbox may reach, so nothing is built under rules that nobody has approved: a
//! repository that was cloned a minute ago decides nothing by itself.

use super::{Host, steps::machine};
use crate::{
    cli::failure::{Failure, Kind},
    model::desired::Sandbox,
    plan::grant::{Grant, GrantSet, Ground, granted},
    store::Record,
};

impl Host {
    /// Refuses a build that would reach what nobody has approved for the definition, and the sandbox, as far as there is
    /// one, may not.
    pub(super) fn judge_build(&self, wanted: &Sandbox, record: Option<&Record>) -> Result<(), Failure> {
        if wanted.template.steps.is_empty() {
            return Ok(());
        }
        // Its paths are of no account here: the machine has no folder.
        let ground = Ground { root: self.folder.clone(), home: self.home.clone() };
        let owner = record.map_or(&self.here, |record| &record.owner);
        let committed = self.committed(owner)?;
        let given = self.approved(owner, false, &committed)?.remove(&wanted.name).unwrap_or_default();
        let held = record.map(|record| reached(&record.desired, &ground)).unwrap_or_default();
        let approved = held.union(&given.whole()).union(&self.standing.baseline);
        let open = approved.missing(&reached(wanted, &ground));
        if open.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = open.grants().iter().map(ToString::to_string).collect();
        let message = format!(
            "the template of {} is built under rules that nobody has approved: {}",
            wanted.name,
            list.join("; ")
        );
        Err(Failure::new(Kind::Pending, "approval_pending", message)
            .hint("look at what its steps may reach, then pass --yes, or answer `cofferdam apply`, which asks for it"))
    }
}

/// What the machine of a build may reach. How it is isolated was agreed to with the sandbox.
fn reached(sandbox: &Sandbox, ground: &Ground) -> GrantSet {
    let machine = machine(sandbox);
    let grants = granted(&machine, ground).into_iter().map(|granted| granted.grant);
    grants.filter(|grant| *grant != Grant::EmulationOk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        desired::Preset,
        rule::{HostService, Layer, Origin},
    };

    #[test]
    fn rules_and_services_count_and_nothing_that_a_build_does_not_have() {
        let ground = Ground { root: "/src".into(), home: "/home/ann".into() };
        let mut wanted = Sandbox::smallest("dev");
        assert!(reached(&wanted, &ground).is_empty());
        let origin = Origin { layer: Layer::Repository, file: None, line: None };
        wanted.network.preset = Preset::Open;
        wanted.network.host_services.push(HostService {
            until: None,
            name: "model".into(),
            port: 11434,
            http: Vec::new(),
            why: "inference".into(),
            origin,
        });
        let words: Vec<String> = reached(&wanted, &ground).grants().iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), 2, "{words:?}");
        assert!(words.iter().any(|word| word.starts_with("host-service model 11434")), "{words:?}");
    }
}
