//! Which part answers which question of a command.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{Host, REMOVE_GRACE, ensure_boot_files, machines::state_failure};
use crate::{
    cli::{
        demo,
        failure::Failure,
        ops::{
            Account, Answer, Approvals, BuiltTemplate, Checked, CheckedKit, Documents, Found, Inbox,
            KeptTemplate, Kits, LockUpdate, Machines, Operations, Plans, PortEdit, Progress, Proposal,
            RuleChange, RuleEdit, RuleScope, Rules, SecretListing, Source, Templates, TrustedTip, UpdateWish,
            Wish, WrittenKit,
        },
    },
    kit::{self, Expansion, SchemaName, Selection},
    model::{
        api::PolicyRevision,
        desired::Preset,
        name::Name,
        rule::Effect,
        secret::SecretSource,
        status::{PublishedPort, SandboxStatus},
    },
    store::{How, answers::Answers},
    template::doctor::Hardware,
};

impl Operations for Host {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn kits(&self) -> &dyn Kits {
        self
    }

    fn plans(&self) -> &dyn Plans {
        self
    }

    fn approvals(&self) -> &dyn Approvals {
        self
    }

    fn machines(&self) -> &dyn Machines {
        self
    }

    fn rules(&self) -> &dyn Rules {
        self
    }

    fn templates(&self) -> &dyn Templates {
        self
    }

    fn account(&self) -> &dyn Account {
        self
    }
}

impl Documents for Host {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn check(&self, source: &Source) -> Result<Checked, Failure> {
        let loaded = self.load(source)?;
        Ok(Checked { sandboxes: loaded.sandboxes, warnings: loaded.warnings })
    }

    fn demand_locked(&self) {
        self.locked.set(true);
    }

    fn named_set(&self, kind: &str, name: &str, effect: Effect) -> Result<Expansion, Failure> {
        self.expand_set(kind, name, effect)
    }

    fn update_lock(&self, source: &Source, wish: &UpdateWish<'_>) -> Result<LockUpdate, Failure> {
        self.renew_lock(source, wish)
    }

    fn is_defined(&self, name: &str) -> bool {
        // What is wrong with a file is told when it is used; it does not make the name another repository's.
        let defined = kit::sandboxes_in(&Selection::Default, &self.folder);
        defined.is_ok_and(|defined| defined.iter().any(|defined| defined == name))
    }

    fn has_agent_kit(&self, name: &str) -> bool {
        // One of the repository's own, by name or path, is known by what comes of naming it.
        let named = || self.load(&Source::CommandLine(Box::new(kit::export::bare(name))));
        kit::has_agent(name) || named().is_ok()
    }

    fn schemas(&self) -> Vec<(&'static str, String)> {
        SchemaName::ALL.iter().map(|name| (name.file_name(), kit::schema_text(*name))).collect()
    }
}

impl Kits for Host {
    fn check_kit(&self, path: &Path) -> Result<CheckedKit, Failure> {
        self.checked_kit(path)
    }

    fn import_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.imported_kit(path, to)
    }

    fn pack_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.packed_kit(path, to)
    }
}

impl Plans for Host {
    fn propose(&self, source: &Source, wish: &Wish) -> Result<Proposal, Failure> {
        self.propose_apply(source, wish)
    }

    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure> {
        self.approve_of(proposal, ids, how)
    }

    fn park(&self, proposal: &Proposal) -> Result<(), Failure> {
        self.remember(proposal, proposal.typed)
    }

    fn propose_delete(&self, source: &Source) -> Result<Proposal, Failure> {
        self.propose_removal(source)
    }

    fn apply(
        &self,
        proposal: &Proposal,
        wish: &Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        self.carry_out(proposal, wish, on)
    }
}

impl Approvals for Host {
    fn inboxes(&self, reference: Option<&str>) -> Result<Vec<Inbox>, Failure> {
        Self::inboxes(self, reference)
    }

    fn trusted(&self) -> Result<Vec<TrustedTip>, Failure> {
        Ok(self.committed(&self.here)?.tips)
    }

    fn answer(
        &self,
        inbox: &Inbox,
        grants: &[String],
        answer: &Answer,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        self.answer_to(inbox, grants, answer, on)
    }
}

impl Machines for Host {
    fn find(&self, reference: &str) -> Result<Found, Failure> {
        self.found(&self.record(reference)?)
    }

    fn list(&self, here: bool) -> Result<Vec<SandboxStatus>, Failure> {
        let mut records = self.records()?;
        records.retain(|record| !here || record.owner == self.here);
        let mut statuses = self.statuses_of(&records)?;
        // Whose they are cannot be read either.
        statuses.extend(self.unreadable_statuses()?);
        statuses.extend(self.unmade(&records, here.then_some(&self.here))?);
        Ok(statuses)
    }

    fn end_damaged(&self, id: &str, remove: bool) -> Result<(), Failure> {
        self.end_unreadable(id, remove)
    }

    fn is_damaged(&self, id: &str) -> bool {
        self.unreadable_of(id).is_some_and(|it| it.id.as_str() == id)
    }

    fn start(&self, sandbox: &Found, on: &dyn Progress) -> Result<SandboxStatus, Failure> {
        self.start_unfinished(&self.record_of(sandbox)?, on)
    }

    fn stop(&self, sandbox: &Found, grace: Duration, force: bool) -> Result<SandboxStatus, Failure> {
        let record = self.record_of(sandbox)?;
        if force { self.stop_by_force(&record) } else { self.stop_record(&record, grace) }
    }

    fn remove(&self, sandbox: &Found, force: bool) -> Result<(), Failure> {
        let record = self.record_of(sandbox)?;
        if force {
            self.stop_by_force(&record)?;
        } else {
            self.stop_record(&record, REMOVE_GRACE)?;
        }
        self.remove_record(&record)
    }

    fn suspend(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure> {
        self.set_suspended(sandbox, suspended)
    }

    fn await_status(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure> {
        self.status_when(sandbox, reached, limit)
    }

    fn ports(&self, sandbox: &Found, edit: &PortEdit) -> Result<Vec<PublishedPort>, Failure> {
        self.edit_ports(&self.record_of(sandbox)?, edit)
    }

    fn trails(&self, sandbox: Option<&Found>) -> Result<Vec<PathBuf>, Failure> {
        match sandbox {
            Some(found) => Ok(vec![found.audit.clone()]),
            None => {
                let mut trails = vec![self.store.audit()];
                trails.extend(self.records()?.iter().map(|record| self.store.sandbox(&record.id).audit()));
                let removed = fs::read_dir(self.store.removed_trails()).into_iter().flatten().flatten();
                trails.extend(removed.map(|entry| entry.path()));
                trails.retain(|trail| trail.is_dir());
                Ok(trails)
            }
        }
    }

    fn hardware(&self) -> Hardware {
        self.hardware_found()
    }

    fn demo(&self, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure> {
        demo::play(&self.places.cache, name, on)
    }
}

impl Rules for Host {
    fn policy(&self, sandbox: Option<&Found>, preset: Option<Preset>) -> Result<PolicyRevision, Failure> {
        let mut record = sandbox.map(|found| self.record_of(found)).transpose()?;
        // The only sandbox here is the one that is meant.
        if record.is_none()
            && let Ok([only]) = <[_; 1]>::try_from(self.own_records()?)
        {
            record = Some(only);
        }
        self.effective(record.as_ref(), preset)
    }

    fn edit_rules(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure> {
        self.edit(scope, edit)
    }
}

impl Templates for Host {
    fn cache(&self) -> &Path {
        &self.places.cache
    }

    fn prepare_cache(&self, on: &dyn Progress) -> Result<(), Failure> {
        ensure_boot_files(&self.places.cache, on).map(drop)
    }

    fn build_templates(
        &self,
        source: &Source,
        name: Option<&str>,
        yes: bool,
        on: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure> {
        self.build_templates_of(source, name, yes, on)
    }

    fn kept(&self) -> Result<Vec<KeptTemplate>, Failure> {
        self.kept_templates()
    }

    fn remove_templates(
        &self,
        keys: &[String],
        unused: bool,
        on: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure> {
        self.remove_kept(keys, unused, on)
    }
}

impl Account for Host {
    fn answers(&self) -> Result<Answers, Failure> {
        self.store.answers(&self.here).map_err(state_failure)
    }

    fn remember(&self, answers: Answers) -> Result<(), Failure> {
        self.store.remember(&self.here, answers).map_err(state_failure)
    }

    fn has_key(&self, variable: &str) -> bool {
        self.keys.contains(variable)
    }

    fn secrets(&self) -> Result<Vec<SecretListing>, Failure> {
        let listing = |(name, source): (&String, &SecretSource)| {
            let (words, present) = describe(source, &self.home);
            SecretListing { name: name.clone(), source: words, present }
        };
        Ok(self.config.secret_sources.iter().map(listing).collect())
    }
}

/// A source in words, and whether there is a value, where that can be told without running anything.
pub(super) fn describe(source: &SecretSource, home: &Path) -> (String, Option<bool>) {
    match source {
        SecretSource::Env { env } => {
            let present = std::env::var_os(env).is_some_and(|value| !value.is_empty());
            (format!("variable {env}"), Some(present))
        }
        SecretSource::File { file } => {
            let path = file.strip_prefix("~").map_or_else(|_| file.clone(), |rest| home.join(rest));
            (format!("file {}", file.display()), Some(path.is_file()))
        }
        SecretSource::Command { command } => (format!("command {}", command.join(" ")), None),
    }
}
