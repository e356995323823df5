//! The real program without machines: files, answers and proposals are the host's own; a sandbox that is applied is
//! noted, "runs" at once, and its session leaves a trail as a guest's would.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    audit::{
        chain,
        trail::{Limits, Trail},
    },
    cli::{
        command::attach::Wish,
        failure::{CommandResult, Failure, Outcome},
        host::Host,
        ops,
        ops::{
            BuiltTemplate, Checked, CheckedKit, Found, KeptTemplate, LockUpdate, Operations, PortEdit,
            Progress, Proposal, RuleChange, RuleEdit, RuleScope, SecretListing, Source, UpdateWish,
            WrittenKit,
        },
        tests::keeper::FakeKeeper,
    },
    kit::Expansion,
    model::{
        api::PolicyRevision,
        desired::{Preset, Sandbox},
        event::{Decision, Draft},
        name::Name,
        rule::Effect,
        status::{PublishedPort, SandboxStatus},
    },
    plan::Plan,
    store::{How, NewSandbox, Owner, Store, answers::Answers},
    template::doctor::Hardware,
};

/// Sandboxes that were applied, by name; they outlive one command.
pub(super) type Made = Rc<RefCell<BTreeMap<String, Sandbox>>>;

pub(super) struct Rehearsal {
    pub(super) host: Host,
    pub(super) made: Made,
    /// Where trails lie.
    pub(super) trails: PathBuf,
    /// Where sandboxes that are applied have a record and a keeper; elsewhere they are noted only.
    pub(super) machines: Option<Machines>,
}

/// Records of the host's store, each with a keeper that has no machine.
#[derive(Clone)]
pub(super) struct Machines {
    pub(super) store: Store,
    pub(super) owner: Owner,
    pub(super) runtime: PathBuf,
    pub(super) keepers: Rc<RefCell<BTreeMap<String, FakeKeeper>>>,
}

impl Machines {
    /// Makes what a plan makes; gives whether that was all of it.
    fn make(&self, proposal: &Proposal) -> bool {
        let mut made = false;
        for wanted in proposal.plan.iter().flat_map(Plan::wanted) {
            let name = wanted.name.clone();
            if self.keepers.borrow().contains_key(name.as_str()) {
                continue;
            }
            let created_at = "2026-01-02T03:04:05Z".to_owned();
            let new =
                NewSandbox { name: name.clone(), owner: self.owner.clone(), created_at, desired: wanted };
            let record = self.store.create(new).unwrap();
            self.store.reach(&record.id, record.generation, None).unwrap();
            let keeper = FakeKeeper::of(&self.store, &record.id, &self.runtime);
            self.keepers.borrow_mut().insert(name.to_string(), keeper);
            made = true;
        }
        made
    }
}

impl Rehearsal {
    fn found(&self, sandbox: &Sandbox) -> Found {
        let audit = self.trails.join(sandbox.name.as_str());
        Found {
            id: "0123456789ab".to_owned(),
            desired: sandbox.clone(),
            socket: "/nonexistent/socket".into(),
            console_log: audit.join("console.log"),
            setup_log: audit.join("setup.log"),
            audit,
        }
    }
}

fn status(sandbox: &Sandbox) -> SandboxStatus {
    let value =
        json!({ "name": sandbox.name, "id": "0123456789ab", "agent": sandbox.agent.kit, "phase": "running" });
    serde_json::from_value(value).unwrap()
}

/// What a guest does in these stories: fetches packages, and tries what nobody allowed.
fn requests() -> [(&'static str, &'static str, Decision); 4] {
    [
        ("net.connect", "npm.corp.example:443", Decision::Allow),
        ("http.request", "GET https://npm.corp.example/left-pad", Decision::Allow),
        ("net.connect", "paste.example:443", Decision::Deny),
        ("net.connect", "paste.example:443", Decision::Deny),
    ]
}

impl Operations for Rehearsal {
    fn folder(&self) -> &Path {
        self.host.folder()
    }

    fn check(&self, source: &Source) -> Result<Checked, Failure> {
        self.host.check(source)
    }

    fn demand_locked(&self) {
        self.host.demand_locked();
    }

    fn named_set(&self, kind: &str, name: &str, effect: Effect) -> Result<Expansion, Failure> {
        self.host.named_set(kind, name, effect)
    }

    fn check_kit(&self, path: &Path) -> Result<CheckedKit, Failure> {
        self.host.check_kit(path)
    }

    fn import_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.host.import_kit(path, to)
    }

    fn pack_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.host.pack_kit(path, to)
    }

    fn update_lock(&self, source: &Source, wish: &UpdateWish<'_>) -> Result<LockUpdate, Failure> {
        self.host.update_lock(source, wish)
    }

    fn ports(&self, _: &Found, _: &PortEdit) -> Result<Vec<PublishedPort>, Failure> {
        Ok(Vec::new())
    }

    fn build_templates(
        &self,
        _: &Source,
        _: Option<&str>,
        _: bool,
        _: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure> {
        Ok(Vec::new())
    }

    fn templates(&self) -> Result<Vec<KeptTemplate>, Failure> {
        Ok(Vec::new())
    }

    fn remove_templates(
        &self,
        _: &[String],
        _: bool,
        _: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure> {
        Ok(Vec::new())
    }

    fn propose(&self, source: &Source, wish: &ops::Wish) -> Result<Proposal, Failure> {
        self.host.propose(source, wish)
    }

    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure> {
        self.host.approve(proposal, ids, how)
    }

    fn park(&self, proposal: &Proposal) -> Result<(), Failure> {
        self.host.park(proposal)
    }

    fn trusted(&self) -> Result<Vec<ops::TrustedTip>, Failure> {
        self.host.trusted()
    }

    fn inboxes(&self, reference: Option<&str>) -> Result<Vec<ops::Inbox>, Failure> {
        self.host.inboxes(reference)
    }

    fn answer(
        &self,
        inbox: &ops::Inbox,
        grants: &[String],
        answer: &ops::Answer,
        on: &dyn Progress,
    ) -> Result<(), Failure> {
        self.host.answer(inbox, grants, answer, on)
    }

    fn propose_delete(&self, source: &Source) -> Result<Proposal, Failure> {
        self.host.propose_delete(source)
    }

    fn apply(
        &self,
        proposal: &Proposal,
        wish: &ops::Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        if let Some(machines) = &self.machines {
            if !machines.make(proposal) {
                return self.host.apply(proposal, wish, on);
            }
            self.host.park(proposal)?;
            return self.host.list(true);
        }
        self.host.park(proposal)?;
        let mut made = self.made.borrow_mut();
        made.extend(proposal.desired.iter().map(|sandbox| (sandbox.name.to_string(), sandbox.clone())));
        Ok(proposal.desired.iter().map(status).collect())
    }

    fn find(&self, reference: &str) -> Result<Found, Failure> {
        match self.made.borrow().get(reference) {
            Some(sandbox) => Ok(self.found(sandbox)),
            None => self.host.find(reference),
        }
    }

    fn list(&self, here: bool) -> Result<Vec<SandboxStatus>, Failure> {
        if self.machines.is_some() {
            return self.host.list(here);
        }
        Ok(self.made.borrow().values().map(status).collect())
    }

    fn is_defined(&self, name: &str) -> bool {
        self.host.is_defined(name)
    }

    fn has_agent_kit(&self, name: &str) -> bool {
        self.host.has_agent_kit(name)
    }

    fn start(&self, sandbox: &Found, _: &dyn Progress) -> Result<SandboxStatus, Failure> {
        Ok(status(&sandbox.desired))
    }

    fn stop(&self, sandbox: &Found, _: Duration, _: bool) -> Result<SandboxStatus, Failure> {
        Ok(status(&sandbox.desired))
    }

    fn remove(&self, sandbox: &Found, _: bool) -> Result<(), Failure> {
        self.made.borrow_mut().remove(sandbox.desired.name.as_str());
        Ok(())
    }

    fn suspend(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure> {
        self.host.suspend(sandbox, suspended)
    }

    fn await_status(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure> {
        self.host.await_status(sandbox, reached, limit)
    }

    fn policy(&self, sandbox: Option<&Found>, preset: Option<Preset>) -> Result<PolicyRevision, Failure> {
        self.host.policy(sandbox, preset)
    }

    fn edit_rules(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure> {
        self.host.edit_rules(scope, edit)
    }

    fn trails(&self, _: Option<&Found>) -> Result<Vec<PathBuf>, Failure> {
        Ok(vec![self.trails.clone()])
    }

    fn answers(&self) -> Result<Answers, Failure> {
        self.host.answers()
    }

    fn remember(&self, answers: Answers) -> Result<(), Failure> {
        self.host.remember(answers)
    }

    fn has_key(&self, variable: &str) -> bool {
        self.host.has_key(variable)
    }

    fn session(&self, sandbox: &Found, _: Wish) -> CommandResult {
        let now = Instant::now();
        let context = chain::Context::default();
        let (mut trail, _) = Trail::open(&sandbox.audit, Limits::default(), now).unwrap();
        for (action, resource, decision) in requests() {
            let draft = Draft {
                time: Timestamp::now().to_string(),
                action: action.into(),
                resource: resource.into(),
                decision,
                rule: None,
                reason: "no_rule".into(),
                detail: serde_json::Map::new(),
            };
            trail.append(draft, &context, now).unwrap();
        }
        Ok(Outcome::Passed(0))
    }

    fn secrets(&self) -> Result<Vec<SecretListing>, Failure> {
        self.host.secrets()
    }

    fn schemas(&self) -> Vec<(&'static str, String)> {
        self.host.schemas()
    }

    fn cache(&self) -> &Path {
        self.host.cache()
    }

    fn prepare_cache(&self, _: &dyn Progress) -> Result<(), Failure> {
        Ok(())
    }

    fn hardware(&self) -> Hardware {
        Hardware::Usable
    }

    fn demo(&self, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure> {
        self.host.demo(name, on)
    }
}
