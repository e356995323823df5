//! What commands ask of the rest of the program: one narrow trait, so that every command can be tried against a
//! scripted one. `reconcile` stands behind what changes a machine; commands only parse, ask and show.

mod documents;
mod machine;
mod proposal;
mod rules;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

pub use self::{
    documents::{Checked, CheckedKit, Comparison, LockUpdate, Source, UpdateWish, WrittenKit},
    machine::{BuiltTemplate, Found, KeptTemplate, PortEdit, SecretListing},
    proposal::{Action, Answer, Asked, Change, Inbox, Proposal, TrustedTip, Wish},
    rules::{RuleChange, RuleEdit, RuleScope},
};
use super::{
    command::attach,
    failure::{CommandResult, Failure},
};
use crate::{
    kit::Expansion,
    model::{
        api::PolicyRevision,
        desired::Preset,
        name::Name,
        rule::Effect,
        status::{PublishedPort, SandboxStatus},
    },
    store::{How, answers::Answers},
    template::doctor::Hardware,
};

/// Hears what a long operation does.
pub trait Progress {
    /// A step with its title begins, or goes on; `permille` is an estimate that never falls.
    fn step(&self, title: &str, permille: Option<u16>, now: &str);
}

/// The rest of the program.
pub trait Operations {
    /// The working directory, absolute: where relative paths of a command line start.
    fn folder(&self) -> &Path;

    /// Reads and checks documents; changes nothing and needs no host.
    ///
    /// # Errors
    /// Every finding, as one failure of kind [`super::failure::Kind::File`].
    fn check(&self, source: &Source) -> Result<Checked, Failure>;

    /// From now on registries and kits are only what `sandbox.lock` pins: what it lacks, or has otherwise, is an error.
    fn demand_locked(&self);

    /// What a named set (`registry:npm`) is on this host, for a rule of the command line.
    ///
    /// # Errors
    /// Kind `Usage` when there is no such set, `HostLacks` when nothing here says where the registry is.
    fn named_set(&self, kind: &str, name: &str, effect: Effect) -> Result<Expansion, Failure>;

    /// Checks a kit, ours or one of Docker Sandboxes; changes nothing.
    ///
    /// # Errors
    /// Every finding.
    fn check_kit(&self, path: &Path) -> Result<CheckedKit, Failure>;

    /// Writes a kit of Docker Sandboxes as one of ours, below `to`, else `kits/NAME`.
    ///
    /// # Errors
    /// Every finding; a folder that is there already.
    fn import_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure>;

    /// Puts a kit into an archive, `to`, else `NAME.tar`.
    ///
    /// # Errors
    /// Every finding; a file that is there already.
    fn pack_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure>;

    /// Resolves anew what `sandbox.lock` pins, kits elsewhere among it, and writes the file when that is wished and it
    /// differs. Where nothing may be resolved anew, it only fetches what is pinned.
    ///
    /// # Errors
    /// Findings; a registry that nothing here knows; a source that cannot be fetched; a file that cannot be written.
    fn update_lock(&self, source: &Source, wish: &UpdateWish<'_>) -> Result<LockUpdate, Failure>;

    /// What it would take to make the documents true.
    ///
    /// # Errors
    /// Findings; a mount that policy denies.
    fn propose(&self, source: &Source, wish: &Wish) -> Result<Proposal, Failure>;

    /// Records that the questions of these ids are answered with yes, and plans the same documents again.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure>;

    /// Remembers what a proposal asks for, so that it can be answered later; changes no machine.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn park(&self, proposal: &Proposal) -> Result<(), Failure>;

    /// What waits and what was answered: of the definition that `reference` names, or of all of this user's.
    ///
    /// # Errors
    /// Kind `NotFound` when nothing was ever asked for that name.
    fn inboxes(&self, reference: Option<&str>) -> Result<Vec<Inbox>, Failure>;

    /// The refs that the operator trusts for the repository that the command runs in.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn trusted(&self) -> Result<Vec<TrustedTip>, Failure>;

    /// Records an answer about grants, and carries out at once what it changes in a sandbox that exists.
    ///
    /// # Errors
    /// When the state cannot be written, or the sandbox does not follow.
    fn answer(
        &self,
        inbox: &Inbox,
        grants: &[String],
        answer: &Answer,
        on: &dyn Progress,
    ) -> Result<(), Failure>;

    /// What `delete -f` would remove.
    ///
    /// # Errors
    /// Findings.
    fn propose_delete(&self, source: &Source) -> Result<Proposal, Failure>;

    /// Carries a proposal out: what is approved; the rest is parked.
    ///
    /// # Errors
    /// What the first machine failed with; the others are carried on.
    fn apply(
        &self,
        proposal: &Proposal,
        wish: &Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure>;

    /// The sandbox that `reference` (`dev`, `web/dev`) names from here.
    ///
    /// # Errors
    /// Kind `NotFound`, or `Usage` with the candidates when there are several.
    fn find(&self, reference: &str) -> Result<Found, Failure>;

    /// Where this user's sandboxes stand; `here`: only those of this repository.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    fn list(&self, here: bool) -> Result<Vec<SandboxStatus>, Failure>;

    /// Whether a sandbox of this name is defined in the files that a command without `-f` would read.
    fn is_defined(&self, name: &str) -> bool;

    /// Whether there is an agent kit of this name.
    fn has_agent_kit(&self, name: &str) -> bool;

    /// Starts a sandbox and waits until its guest answers.
    ///
    /// # Errors
    /// The guest's last words, a missing secret, what the host lacks.
    fn start(&self, sandbox: &Found, on: &dyn Progress) -> Result<SandboxStatus, Failure>;

    /// Stops a sandbox; with `force` without asking its guest, and its keeper for a moment only.
    ///
    /// # Errors
    /// When a process of it does not end.
    fn stop(&self, sandbox: &Found, grace: Duration, force: bool) -> Result<SandboxStatus, Failure>;

    /// Stops a sandbox and removes it with its disks; with `force` also where its keeper hangs. The audit trail stays.
    ///
    /// # Errors
    /// When it does not stop.
    fn remove(&self, sandbox: &Found, force: bool) -> Result<(), Failure>;

    /// Whether this is the id of a sandbox whose record cannot be read.
    fn is_damaged(&self, _id: &str) -> bool {
        false
    }

    /// Ends such a sandbox by force, and with `remove` deletes it with its disks; its audit trail stays. One that is gone
    /// is no error.
    ///
    /// # Errors
    /// When it does not end.
    fn end_damaged(&self, _id: &str, _remove: bool) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes a sandbox out of reconciling, or puts it back.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn suspend(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure>;

    /// Where a sandbox stands as soon as `reached` says so; none when that took longer than `limit`.
    ///
    /// # Errors
    /// When it is removed meanwhile, or its state cannot be read.
    fn await_status(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure>;

    /// The whole policy as it is in force for `sandbox`, or for any sandbox without rules of its own; `preset` instead
    /// of the one that is set.
    ///
    /// # Errors
    /// When a layer cannot be read.
    fn policy(&self, sandbox: Option<&Found>, preset: Option<Preset>) -> Result<PolicyRevision, Failure>;

    /// Changes rules, and puts them into force in running sandboxes before it returns.
    ///
    /// # Errors
    /// When there is no such rule, or the state cannot be written.
    fn edit_rules(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure>;

    /// Changes the ports that are published for a sandbox, at once where it runs, and gives those that are open.
    ///
    /// # Errors
    /// When a port cannot be had; the others are published.
    fn ports(&self, sandbox: &Found, edit: &PortEdit) -> Result<Vec<PublishedPort>, Failure>;

    /// Folders of audit trails: one sandbox's, or the host's and those of all sandboxes.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    fn trails(&self, sandbox: Option<&Found>) -> Result<Vec<PathBuf>, Failure>;

    /// What was answered at first runs in this repository.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn answers(&self) -> Result<Answers, Failure> {
        Ok(Answers::default())
    }

    /// Remembers answers for this repository.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn remember(&self, _answers: Answers) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether this variable, which holds the key of a built-in service, is set in this process's environment. Its
    /// value is not looked at.
    fn has_key(&self, _variable: &str) -> bool {
        false
    }

    /// Runs a command in a running sandbox, to its end, with this process's streams.
    ///
    /// # Errors
    /// Our failures, with exit code 125; a program that does not run, with the shell's code.
    fn session(&self, sandbox: &Found, wish: attach::Wish) -> CommandResult {
        attach::run(sandbox, wish)
    }

    /// The operator's secrets by name.
    ///
    /// # Errors
    /// When the operator's configuration is wrong.
    fn secrets(&self) -> Result<Vec<SecretListing>, Failure>;

    /// The published JSON Schemas: file name and content.
    fn schemas(&self) -> Vec<(&'static str, String)>;

    /// Where kernels and templates are cached.
    fn cache(&self) -> &Path;

    /// Builds what the cache lacks; takes milliseconds when it lacks nothing.
    ///
    /// # Errors
    /// The end of the failing tool's log.
    fn prepare_cache(&self, on: &dyn Progress) -> Result<(), Failure>;

    /// Builds what the templates of the files need; with a name, of the sandbox that is defined there or exists. `yes`
    /// agrees to what their steps may reach.
    ///
    /// # Errors
    /// Findings; steps that may reach what is not approved; an unknown package; a step that fails, with the end of its log and its line.
    fn build_templates(
        &self,
        source: &Source,
        name: Option<&str>,
        yes: bool,
        on: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure>;

    /// What is kept of templates.
    ///
    /// # Errors
    /// When cache or state cannot be read.
    fn templates(&self) -> Result<Vec<KeptTemplate>, Failure>;

    /// Removes what these keys name, and with `unused` what no sandbox stands on; gives what went.
    ///
    /// # Errors
    /// A key that names none or several; a template that is in use. Nothing is removed then.
    fn remove_templates(
        &self,
        keys: &[String],
        unused: bool,
        on: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure>;

    /// What the probe of hardware virtualisation found.
    fn hardware(&self) -> Hardware;

    /// Plays the acceptance story. The value is the documented report.
    ///
    /// # Errors
    /// When it could not be played; an attack that got through is in the report.
    fn demo(&self, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure>;
}
