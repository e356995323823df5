//! What commands ask of the rest of the program: one narrow trait, so that every command can be tried against a
//! scripted one. `reconcile` stands behind what changes a machine; commands only parse, ask and show.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    args::Publish,
    command::attach,
    failure::{CommandResult, Failure},
};
use crate::model::{
    api::PolicyRevision,
    desired::{Preset, Sandbox},
    name::Name,
    rule::{Effect, NetworkRule},
    status::{PublishedPort, SandboxStatus},
};
use crate::store::answers::Answers;
use crate::{
    kit::{Expansion, LockChange},
    plan::{Plan, PlanInput, grant::GrantSet},
    store::{Approval, How, Owner, Rejection},
    template::doctor::Hardware,
};

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `-f` with a file or folder.
    Path(PathBuf),
    /// `-f -`.
    Stdin,
    /// No `-f`: `sandbox.yaml`, else `.cofferdam/`, upwards to the repository's root.
    Search,
    /// A text that this program itself proposes, as if it lay in the working directory.
    Text(String),
    /// A command line, as the document that it stands for.
    CommandLine(Box<Value>),
}

/// A checked set of documents.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// The sandboxes in it.
    pub sandboxes: Vec<Sandbox>,
    /// What is right but worth a look.
    pub warnings: Vec<String>,
}

/// What one sandbox needs to become what its document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Made and started.
    Create,
    /// Changed while it runs.
    Update,
    /// Stopped and started with other settings.
    Restart,
    /// Stopped and started with a new system disk.
    Replace,
    /// Started.
    Start,
    /// Stopped, its disks kept.
    Stop,
    /// Nothing.
    Keep,
    /// Stopped and removed.
    Delete,
}

/// How a proposal is made and carried out.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Approve what the operator lets `--yes` approve.
    pub yes: bool,
    /// Start nothing before everything is approved.
    pub require_approved: bool,
    /// Wait until every guest answers, or has failed.
    pub wait: bool,
    /// No longer than this.
    pub timeout: Option<Duration>,
    /// Remove sandboxes whose document has disappeared, with their disks.
    pub prune: bool,
    /// Start busy sandboxes anew, too.
    pub now: bool,
    /// Of the definitions only this one, and an instance of it even where none is kept.
    pub only: Option<String>,
}

/// A grant that nobody has answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// What `approve` and `reject` call it: the beginning of a digest of the grant's text.
    pub id: String,
    /// The definition that asks for it.
    pub sandbox: String,
    /// Canonical text.
    pub grant: String,
    /// What its file says about it.
    pub why: String,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether `--yes` approves it.
    pub yes: bool,
    /// Since when it waits, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Commit of the file that asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What waits and what was answered for one definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inbox {
    /// Whose it is.
    #[serde(skip)]
    pub owner: Owner,
    /// The folder that people know it by.
    pub place: String,
    /// The definition.
    pub sandbox: String,
    /// What waits.
    pub asked: Vec<Asked>,
    /// Texts of the approvals that count now.
    #[serde(skip)]
    pub in_force: Vec<String>,
    /// What was approved.
    pub approved: Vec<Approval>,
    /// What was rejected, and is not asked for again.
    pub rejected: Vec<Rejection>,
}

/// An answer about grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They may.
    Approve {
        /// Until this time, RFC 3339 in UTC.
        until: Option<String>,
    },
    /// They may not; an approval is withdrawn.
    Reject,
}

/// One line of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The sandbox.
    pub sandbox: String,
    /// What happens to it.
    pub action: Action,
    /// What it may do afterwards and may not now, in canonical form: `mount ~/datasets read`.
    pub grants: Vec<String>,
    /// What else follows: a restart, a default that applies.
    pub notes: Vec<String>,
}

/// What `apply`, `create` or `delete` would do. Made before anybody is asked, and carried out as it stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Proposal {
    /// In order.
    pub changes: Vec<Change>,
    /// Of the documents.
    pub warnings: Vec<String>,
    /// What the documents ask for, which nobody has answered. The rest is done without it.
    pub asked: Vec<Asked>,
    /// What they ask for.
    #[serde(skip)]
    pub desired: Vec<Sandbox>,
    /// What is done; none where sandboxes are removed by name.
    #[serde(skip)]
    pub plan: Option<Plan>,
    /// What the plan was made from.
    #[serde(skip)]
    pub input: Option<PlanInput>,
    /// Whose the sandboxes are.
    #[serde(skip)]
    pub owner: Option<Owner>,
    /// Whether the document stands on the command line.
    #[serde(skip)]
    pub typed: bool,
}

impl Proposal {
    /// Whether anything would happen.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        self.changes.iter().any(|change| change.action != Action::Keep)
    }
}

/// A kit that is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedKit {
    /// `Agent` or `Mixin`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whose format it is in.
    pub format: String,
    /// What is not carried over, or worth a look.
    pub reports: Vec<String>,
}

/// What `kit import` or `kit pack` wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenKit {
    /// The kit's name.
    pub name: String,
    /// The folder, or the archive.
    pub path: PathBuf,
    /// Its files, from the kit's folder.
    pub files: Vec<String>,
    /// What is not carried over, or worth a look.
    pub reports: Vec<String>,
    /// SHA-256 of the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What `update` finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockUpdate {
    /// The lock file.
    pub path: PathBuf,
    /// What is otherwise now.
    pub changes: Vec<LockChange>,
    /// Rules that follow from it, in words: `dev: allow GET,HEAD packages.example (sandbox.yaml:9)`.
    pub consequences: Vec<String>,
    /// Whether the file was written.
    pub written: bool,
}

/// Two commits of a repository: what the files of both say, and what was approved in the later one.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The earlier one as if it ran, the later one as what shall be.
    pub input: PlanInput,
    /// Of the later files.
    pub warnings: Vec<String>,
    /// What the later commit's own file of approvals covers, by definition.
    pub approved: std::collections::BTreeMap<Name, GrantSet>,
}

/// A sandbox of this user.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub id: String,
    /// Its desired state as it was applied.
    pub desired: Sandbox,
    /// Its keeper's control socket; nobody listens there while it is stopped.
    pub socket: PathBuf,
    /// The guest's console log.
    pub console_log: PathBuf,
    /// Output of its set-up.
    pub setup_log: PathBuf,
    /// Its audit trail.
    pub audit: PathBuf,
}

/// Which sandboxes a rule of the command line is for.
#[derive(Debug, Clone)]
pub enum RuleScope {
    /// This user's, everywhere.
    User,
    /// The repository that the command runs in.
    Here,
    /// One sandbox.
    Sandbox(Box<Found>),
}

/// A change to the rules of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleEdit {
    /// Adds the rules, and removes this scope's own opposite rules of exactly the same patterns.
    Add(Vec<NetworkRule>),
    /// Removes rules of exactly these patterns.
    RemovePatterns(Vec<String>),
    /// Removes the rule with this id.
    RemoveId(String),
    /// Removes every rule; with a preset, chooses it.
    Reset(Option<Preset>),
}

/// A change to the ports that commands publish for one sandbox; empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortEdit {
    /// Published.
    pub publish: Vec<Publish>,
    /// Ports of the guest that are withdrawn.
    pub withdraw: Vec<u16>,
}

/// What came of a [`RuleEdit`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct RuleChange {
    /// Rules that are new.
    pub added: Vec<NetworkRule>,
    /// Rules that are gone.
    pub removed: Vec<NetworkRule>,
    /// For whom, in words: `every sandbox of this user`, `sandboxes of this repository`, `sandbox dev`.
    pub scope: String,
    /// Running sandboxes in which it is in force.
    pub live: Vec<String>,
    /// Open connections that it closed.
    pub closed: u32,
    /// A rule of another layer that still denies what was to be allowed; then nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<NetworkRule>,
}

/// One line of `secret ls`. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretListing {
    /// Its name.
    pub name: String,
    /// Where its value comes from, in words.
    pub source: String,
    /// Whether there is a value now.
    pub present: bool,
}

/// A template that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltTemplate {
    /// The sandbox that asks for it.
    pub sandbox: String,
    /// Key of its image.
    pub image: String,
    /// Keys of what its steps changed, lowest first.
    pub layers: Vec<String>,
}

/// One line of `template ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptTemplate {
    /// Its key.
    pub key: String,
    /// `base`, `packages`, `steps`, or `damaged`.
    pub kind: &'static str,
    /// Packages with their versions, or the steps' commands; `current` for the base that is.
    pub holds: Vec<String>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Sandboxes of this user whose system disks stand on it.
    pub used_by: Vec<String>,
}

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

    /// Resolves anew what `sandbox.lock` pins, and writes the file when `write` is set and it differs.
    ///
    /// # Errors
    /// Findings; a registry that nothing here knows; a file that cannot be written.
    fn update_lock(&self, source: &Source, write: bool) -> Result<LockUpdate, Failure>;

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

    /// What the commit that is checked out changes since it and `reference` had a commit in common. Looks at no state.
    ///
    /// # Errors
    /// Findings; a reference or a commit that is not here.
    fn compare(&self, _: &Source, _reference: &str) -> Result<Comparison, Failure> {
        Err(Failure::not_available("plan --against"))
    }

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

    /// Stops a sandbox; with `force` without asking its guest or its keeper.
    ///
    /// # Errors
    /// When a process of it does not end.
    fn stop(&self, sandbox: &Found, grace: Duration, force: bool) -> Result<SandboxStatus, Failure>;

    /// Stops a sandbox and removes it with its disks. The audit trail stays.
    ///
    /// # Errors
    /// When it does not stop.
    fn remove(&self, sandbox: &Found) -> Result<(), Failure>;

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
