//! Rules that change while a template is built. The machine of the step that runs follows them, as any sandbox does: what
//! is denied now is closed now. What it made under other rules than the layer's key says is not kept.

use super::{Host, Rules, machines_of, state_failure, steps::machine_name};
use crate::{
    cli::{
        client::{self, Client, ClientError},
        failure::{Failure, Kind},
        ops::RuleScope,
    },
    model::desired::Sandbox,
    store::{Record, RuleSet, Scope, Store, StoreError},
    template::layer,
};

impl Host {
    /// Puts the rules of the scope in force in the machines of builds that run on this cache; gives their names, and how
    /// many connections were closed.
    pub(in crate::cli::host) fn enforce_in_builds(
        &self,
        scope: &RuleScope,
    ) -> Result<(Vec<String>, u32), Failure> {
        let (mut live, mut closed) = (Vec::new(), 0_u32);
        for bench in layer::benches(&self.places.cache) {
            let store = Store::unopened(&machines_of(&bench));
            for record in store.list().map(|listing| listing.records).unwrap_or_default() {
                if !self.concerns(scope, &record) {
                    continue;
                }
                match self.tell_build(&store, &record, scope) {
                    Ok(Some(count)) => {
                        closed = closed.saturating_add(count);
                        live.push(record.name.to_string());
                    }
                    Ok(None) => {}
                    // It has ended meanwhile, and its bench with it.
                    Err(_) if !bench.exists() => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok((live, closed))
    }

    /// Whether the rules of the scope hold for what this machine builds for.
    fn concerns(&self, scope: &RuleScope, machine: &Record) -> bool {
        match scope {
            RuleScope::User => true,
            RuleScope::Here => machine.owner == self.here,
            RuleScope::Sandbox(found) => {
                let built_for = self.record_of(found);
                built_for.is_ok_and(|it| it.owner == machine.owner && machine_name(&it.name) == machine.name)
            }
        }
    }

    /// Copies the rules to where the machine's keeper reads them, and has it read them; none where no keeper runs.
    fn tell_build(&self, store: &Store, machine: &Record, scope: &RuleScope) -> Result<Option<u32>, Failure> {
        let copies = match scope {
            RuleScope::User => (Scope::User, self.store.rules(Scope::User)),
            RuleScope::Here => (Scope::Owner(&machine.owner), self.store.rules(Scope::Owner(&machine.owner))),
            RuleScope::Sandbox(found) => {
                let built_for = self.record_of(found)?;
                (Scope::Sandbox(&machine.id), self.store.rules(Scope::Sandbox(&built_for.id)))
            }
        };
        copy(store, copies.0, &copies.1.map_err(state_failure)?).map_err(state_failure)?;
        let Some(sockets) = store.sandbox(&machine.id).socket_folder().map_err(state_failure)? else {
            return Ok(None);
        };
        let client = Client::new(sockets.join(crate::model::launch::CONTROL_SOCKET));
        match client::block_on(async { Ok(client.reload_policy().await) })? {
            Ok(reloaded) => Ok(Some(reloaded.closed)),
            Err(ClientError::NotRunning) => Ok(None),
            Err(error) => {
                let message = format!("the rules are written, but {} has not taken them", machine.name);
                Err(Failure::new(Kind::Failed, "not_in_force", message)
                    .caused_by(&error)
                    .hint("end the command that builds the template"))
            }
        }
    }

    /// Fails where rules are others now than those that a layer is built for.
    pub(super) fn refuse_other_rules(
        &self,
        wanted: &Sandbox,
        record: Option<&Record>,
        planned: &str,
    ) -> Result<Rules, Failure> {
        let rules = self.build_rules(wanted, record)?;
        if rules.key == planned {
            return Ok(rules);
        }
        let message = format!(
            "the rules of {} were changed while its template was built; what the step made under others is not kept",
            wanted.name
        );
        Err(Failure::new(Kind::Failed, "template_failed", message)
            .hint("run the command again: it is built under the rules as they are now"))
    }
}

/// Gives the machine of a build these rules of one scope.
pub(super) fn copy(to: &Store, scope: Scope<'_>, rules: &RuleSet) -> Result<(), StoreError> {
    let change = |set: &mut RuleSet| {
        set.clone_from(rules);
        Ok::<(), std::convert::Infallible>(())
    };
    to.edit_rules(scope, change)?.map(drop).unwrap_or_else(|never| match never {});
    Ok(())
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
